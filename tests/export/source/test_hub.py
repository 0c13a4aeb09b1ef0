"""Hub: models fetched from a server that speaks its protocol, and its refusals."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.model.manifest import Manifest
from tests.support import hub as hubs
from tests.support.hub import COMMIT

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hub(bert: Path) -> Iterator[str]:
    with hubs.serve({"org/tiny-bert": bert}) as server:
        yield server.url


@pytest.mark.slow
def test_model_of_the_hub_is_exported_with_its_commit(
    hub: str, start_export: Start, tmp_path: Path
) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home")}
    models = ("--models-dir", tmp_path / "models")
    child = start_export("org/tiny-bert", *models, **online)
    output, errors = child.communicate(timeout=300)
    assert child.returncode == 0, output + errors
    source = Manifest.read(tmp_path / "models/org--tiny-bert").source
    assert (source.id, source.revision) == ("org/tiny-bert", COMMIT)

    # The cache now has enough for an export that may not use the network.
    child = start_export("org/tiny-bert", "--revision", "main", *models, HF_HOME=online["HF_HOME"])
    output, errors = child.communicate(timeout=300)
    assert child.returncode == 0, output + errors
    assert Manifest.read(tmp_path / "models/org--tiny-bert@main").source.revision == COMMIT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["org/gated"], "org/gated is gated: accept its conditions on its page, then set HF_TOKEN"),
        (["org/unknown"], "is neither a folder nor a model on the Hub; if it is private"),
        (["org/tiny-bert", "--revision", "v9"], "org/tiny-bert has no revision 'v9'"),
        (["org/broken"], "org/broken cannot be fetched: 500 Server Error"),
        (["org/forbidden"], "the Hub refuses the token, or wants one (403): set HF_TOKEN"),
        (["org/expired"], "the Hub refuses the token, or wants one (401): set HF_TOKEN"),
        (["not an id!"], "'not an id!' is neither a folder nor an id of the form"),
    ],
)
def test_refusals(
    hub: str, start_export: Start, tmp_path: Path, arguments: list[str], message: str
) -> None:
    home = str(tmp_path / "home")
    child = start_export(
        *arguments,
        "--models-dir",
        tmp_path / "models",
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=hub,
        HF_HOME=home,
    )
    _, errors = child.communicate(timeout=300)
    assert (child.returncode, errors.count("\n")) == (1, 1), errors
    assert message in errors
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set: unset it, or give a folder"),
        (
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
            "http://127.0.0.1:9 cannot be reached: check the network or HF_ENDPOINT",
        ),
    ],
)
def test_out_of_reach(
    start_export: Start, tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    child = start_export("org/name", HF_HOME=str(tmp_path), **environment)
    _, errors = child.communicate(timeout=300)
    assert (child.returncode, errors.count("\n")) == (1, 1), errors
    assert message in errors
