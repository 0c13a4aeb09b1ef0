"""Downloading at start: what is fetched and where to, what breaks off, and every way to fail."""

import logging
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.download import preparation
from app.errors import StartupError
from app.model.lookup.hub_cache import download_place
from app.model.manifest import Manifest
from app.settings import Settings
from tests.support import hub as hubs
from tests.support.hub import COMMIT, Hub
from tests.support.snapshot import DENSE, contents, with_dense, write_cache, write_folder
from tools import tiny
from tools.process import Server

MODEL = "org/small"
GRAPH = "onnx/model.onnx"
SENT = "hf_abc"
NEEDED = [
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with `org/small`, which has ONNX and more, and `org/torch`, which has only weights."""
    small = write_folder(tmp_path / "hub" / "small")
    torch = tmp_path / "hub" / "torch"
    shutil.copytree(small, torch, ignore=shutil.ignore_patterns("onnx"))
    for folder in (small, torch):
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "pytorch_model.bin").write_bytes(b"weights")
        (folder / "README.md").write_text("# A model")
    (small / "onnx/model_quantized.onnx").write_bytes(b"quantized")
    with hubs.serve({MODEL: small, "org/torch": torch}) as server:
        yield server


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """What a user's shell would say, with a home of its own."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HOME": str(tmp_path / "home"),
        "NO_PROXY": "127.0.0.1",
    }


def cached(cache: Path, model: str = MODEL) -> list[str]:
    """The files of the model's only snapshot."""
    snapshot = cache / f"models--{model.replace('/', '--')}" / "snapshots" / COMMIT
    return sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file())


def settings_for(tmp_path: Path, **changes: object) -> Settings:
    defaults = {
        "model_id": MODEL,
        "models_dir": tmp_path / "models",
        "huggingface_hub_cache": tmp_path / "data",
        "cache_dir": tmp_path / "prepared",
    }
    return Settings(**{**defaults, **changes})  # type: ignore[arg-type]


def prepare(settings: Settings, environment: dict[str, str]) -> Manifest:
    """The manifest of the model as it would be loaded."""
    with preparation.prepared(settings, environment) as (_, place):
        return Manifest.read(place)


def fault(settings: Settings, environment: dict[str, str]) -> str:
    with pytest.raises(StartupError) as caught, preparation.prepared(settings, environment):
        raise AssertionError("there is a model")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is fetched, and where to.


def test_a_model_of_the_hub_is_downloaded_and_served_and_then_needs_no_network(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    flags = ["--huggingface-hub-cache", str(data), "--cache-dir", str(tmp_path / "prepared")]
    flags += ["--dtype", "float32"]
    server = Server("--model-id", MODEL, *flags, environment=environment)
    server.wait_ready()
    vectors = server.post("/embed", {"inputs": "the cat"}).json
    np.testing.assert_allclose(
        vectors, [tiny.unit(tiny.reference(tiny.ids_of("the cat")))], atol=1e-6
    )
    server.signal()
    output = server.output()
    assert server.process.returncode == 0, output
    assert f"Starting download of {MODEL} to {data}" in output
    assert "[7/7] onnx/model.onnx" in output
    assert "model.onnx: 100%|" in output  # the progress bar

    before, asked = contents(data), len(hub.requests)
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    for again in (environment, offline):
        server = Server("--model-id", MODEL, *flags, environment=again)
        server.wait_ready()
        server.signal()
        assert "was prepared before" in server.output()
    assert (contents(data), len(hub.requests)) == (before, asked)


def test_only_what_serving_needs_is_fetched(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    (hub.repositories[MODEL] / "onnx/model.onnx_data").write_bytes(b"weights of the graph")
    manifest = prepare(settings_for(tmp_path), environment)
    assert cached(tmp_path / "data") == sorted([*NEEDED, GRAPH, "onnx/model.onnx_data"])
    assert (manifest.source.id, manifest.source.revision) == (MODEL, COMMIT)
    assert manifest.pooling == "mean"
    assert (tmp_path / "data/models--org--small/refs/main").read_text() == COMMIT
    assert not (tmp_path / "home").exists()


def test_a_graph_is_fetched_by_its_name_and_no_other(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    folder = hub.repositories[MODEL] / "onnx"
    shutil.copyfile(folder / "model.onnx", folder / "model_O2.onnx")
    prepare(settings_for(tmp_path, onnx_file="model_O2.onnx"), environment)
    assert cached(tmp_path / "data") == sorted([*NEEDED, "onnx/model_O2.onnx"])
    elsewhere = tmp_path / "elsewhere"
    wrong = settings_for(tmp_path, onnx_file="model_O3.onnx", huggingface_hub_cache=elsewhere)
    assert fault(wrong, environment) == (
        f"{MODEL} holds no model_O3.onnx, only onnx/model.onnx, onnx/model_O2.onnx, "
        "onnx/model_quantized.onnx: name one with --onnx-file (ONNX_FILE), or run: make export "
        f"MODEL_ID={MODEL}"
    )


def test_weights_of_a_layer_are_fetched_before_the_graph(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    folder = hub.repositories[MODEL]
    shutil.rmtree(folder)
    with_dense(folder)
    held = tmp_path / "held"  # a cache that an earlier version left, without them
    shutil.copytree(folder, held, ignore=shutil.ignore_patterns("*.safetensors"))
    write_cache(tmp_path / "data", held, COMMIT, model=MODEL)
    assert prepare(settings_for(tmp_path), environment).dimensions == len(DENSE)
    assert hub.sent("2_Dense/model.safetensors")
    shutil.rmtree(tmp_path / "data")
    prepare(settings_for(tmp_path), environment)
    asked = [one.path for one in hub.sent("")]
    weights, graph = (
        max(place for place, path in enumerate(asked) if path.endswith(name))
        for name in ("2_Dense/model.safetensors", GRAPH)
    )
    assert weights < graph


def test_a_layer_s_pickle_is_refused_before_anything_is_fetched(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    folder = hub.repositories[MODEL]
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense/pytorch_model.bin").write_bytes(b"weights")
    (folder / "0_Transformer").mkdir()
    (folder / "0_Transformer/pytorch_model.bin").write_bytes(b"of the encoder")
    assert fault(settings_for(tmp_path), environment) == (
        f"{MODEL}: 2_Dense/pytorch_model.bin is a pickle, which only PyTorch reads safely; run: "
        f"make export MODEL_ID={MODEL}"
    )
    assert not any(path.is_file() for path in (tmp_path / "data").rglob("*"))
    (folder / "2_Dense/pytorch_model.bin").unlink()
    assert prepare(settings_for(tmp_path), environment).pooling == "mean"


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_revision_is_fetched_as_such(
    environment: dict[str, str], tmp_path: Path, revision: str
) -> None:
    settings = settings_for(tmp_path, revision=revision)
    assert prepare(settings, environment).source.revision == COMMIT
    references = tmp_path / "data/models--org--small/refs"
    noted = {path.name: path.read_text() for path in references.glob("*")}
    assert noted == ({"v1": COMMIT} if revision == "v1" else {})
    assert prepare(settings, {**environment, "HF_HUB_OFFLINE": "1"}).source.revision == COMMIT


def test_a_snapshot_that_misses_the_graph_is_completed(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    shutil.copytree(hub.repositories[MODEL], held, ignore=shutil.ignore_patterns("onnx"))
    write_cache(tmp_path / "data", held, COMMIT, model=MODEL)
    prepare(settings_for(tmp_path), environment)
    assert [one.path.rsplit("/", 1)[-1] for one in hub.sent("")] == ["small", "model.onnx"]


@pytest.fixture
def without_pooling(hub: Hub, tmp_path: Path) -> Path:
    """A cache as Optimum leaves it: the graph is there, and nothing that says how to pool."""
    held = tmp_path / "held"
    left_out = shutil.ignore_patterns("modules.json", "1_Pooling", "config_sentence_*")
    shutil.copytree(hub.repositories[MODEL], held, ignore=left_out)
    write_cache(tmp_path / "data", held, COMMIT, model=MODEL)
    return held


@pytest.mark.usefixtures("without_pooling")
def test_a_snapshot_that_does_not_say_how_to_pool_is_completed(
    environment: dict[str, str], hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unreachable = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "--pooling cls (TEI's for BERT), --pooling mean" in fault(
        settings_for(tmp_path), unreachable
    )
    assert "http://127.0.0.1:9 cannot be reached" in caplog.text
    assert prepare(settings_for(tmp_path), environment).pooling == "mean"
    assert not hub.sent(GRAPH)
    asked = len(hub.requests)
    assert prepare(settings_for(tmp_path), environment).pooling == "mean"
    assert len(hub.requests) == asked


def test_a_model_without_modules_is_asked_about_once(
    environment: dict[str, str], hub: Hub, tmp_path: Path, without_pooling: Path
) -> None:
    hub.repositories = {MODEL: without_pooling}
    assert "to say how to pool" in fault(settings_for(tmp_path), environment)
    asked = len(hub.requests)
    assert asked > 0
    assert "to say how to pool" in fault(settings_for(tmp_path), environment)
    told = settings_for(tmp_path, pooling="cls")
    assert prepare(told, environment).pooling_source == "--pooling"
    assert len(hub.requests) == asked
    assert "README.md" in cached(tmp_path / "data")  # which may say what the model is


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.cache/huggingface/hub"),
        ({"HF_HOME": "/f"}, "/f/hub"),
        ({"HF_HOME": "/f", "HF_HUB_CACHE": "/c"}, "/c"),
    ],
)
def test_without_a_cache_named_it_is_the_one_of_huggingface_hub(
    environment: dict[str, str], found: str | None
) -> None:
    assert download_place(None, environment) == (Path(found) if found else None)


def test_a_cache_may_be_named_with_or_without_its_hub(tmp_path: Path) -> None:
    assert download_place(tmp_path, {}) == tmp_path
    (tmp_path / "hub").mkdir()
    assert download_place(tmp_path, {}) == tmp_path / "hub"


@pytest.mark.parametrize("named", [True, False], ids=["--cache-dir", "temporary"])
def test_a_cache_that_cannot_be_written_is_replaced_with_a_warning(
    environment: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    (tmp_path / "data").touch()
    place = tmp_path / "prepared" if named else None
    assert prepare(settings_for(tmp_path, cache_dir=place), environment).pooling == "mean"
    [warning] = [text for text in caplog.messages if "cannot be written" in text]
    assert warning.startswith(f"{tmp_path / 'data'} cannot be written: downloading to ")
    if named:
        assert cached(tmp_path / "prepared" / "hub") == sorted([*NEEDED, GRAPH])
        prepare(settings_for(tmp_path), {**environment, "HF_HUB_OFFLINE": "1"})
    else:
        assert not Path(warning.rpartition(" ")[2]).exists()


# Tokens.


@pytest.mark.parametrize(
    ("changes", "variables"),
    [
        ({"hf_token": SENT}, {}),
        ({"hf_api_token": SENT}, {}),
        ({"hf_token": SENT}, {"HF_TOKEN": "other"}),
        ({}, {"HF_HOME": "home-with-a-token"}),
    ],
    ids=["--hf-token", "--hf-api-token", "flag over variable", "$HF_HOME/token"],
)
def test_the_token_is_sent(
    environment: dict[str, str],
    hub: Hub,
    tmp_path: Path,
    changes: dict[str, str],
    variables: dict[str, str],
) -> None:
    hub.token = SENT
    home = tmp_path / "home-with-a-token"
    home.mkdir()
    (home / "token").write_text(f"{SENT}\n")
    variables = {name: value.replace(home.name, str(home)) for name, value in variables.items()}
    prepare(settings_for(tmp_path, **changes), {**environment, **variables})
    assert {one.token for one in hub.requests} == {SENT}


def test_settings_of_other_downloaders_do_not_get_in_the_way(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Images of TEI set this one, which needs a package that nobody else has."""
    prepare(settings_for(tmp_path), {**environment, "HF_HUB_ENABLE_HF_TRANSFER": "1"})


# What breaks off.


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    data = "onnx/model.onnx_data"
    (hub.repositories[MODEL] / data).write_bytes(bytes(25_000_000))
    hub.cuts = {data: [15_000_000, 4_000_000], GRAPH: [10]}
    prepare(settings_for(tmp_path), environment)
    assert [one.range for one in hub.sent(data)] == [None, "bytes=10485760-", "bytes=10485760-"]
    assert (tmp_path / "data/models--org--small/snapshots" / COMMIT / data).stat().st_size == 25e6


def test_a_download_that_fails_halfway_is_no_model_and_goes_on_at_the_next_start(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    data = "onnx/model.onnx_data"
    (hub.repositories[MODEL] / data).write_bytes(bytes(12_000_000))
    hub.cuts = {data: [11_000_000, *[0] * 4]}
    message = fault(settings_for(tmp_path), environment)
    assert message.startswith(f"{MODEL} cannot be fetched: ")
    assert cached(tmp_path / "data") == NEEDED
    assert "unset it, or run: make export" in fault(
        settings_for(tmp_path), {**environment, "HF_HUB_OFFLINE": "1"}
    )
    hub.requests.clear()
    prepare(settings_for(tmp_path), environment)
    assert [one.range for one in hub.sent(data)] == ["bytes=10485760-"]


@pytest.mark.parametrize(
    "sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_download_too(
    environment: dict[str, str], hub: Hub, tmp_path: Path, sent: signal.Signals
) -> None:
    hub.held = GRAPH
    places = ["--huggingface-hub-cache", str(tmp_path / "data")]
    server = Server("--model-id", MODEL, *places, environment=environment)
    assert hub.holding.wait(60)
    number = server.process.pid
    [child] = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    server.signal(sent)
    output = server.output()
    assert server.process.returncode == 128 + sent, output
    assert "Traceback" not in output
    assert not Path(f"/proc/{child}").exists()
    assert cached(tmp_path / "data") == NEEDED
    hub.held = None
    prepare(settings_for(tmp_path), environment)


# What cannot be had.


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("org/unknown", {}, "org/unknown is neither a folder nor a model on the Hub; if it is private"),
        ("org/gated", {}, "org/gated is gated: accept its conditions on its page, then set HF_TOKEN"),
        ("org/forbidden", {}, "the Hub refuses the token, or wants one (403): set HF_TOKEN"),
        ("org/expired", {"hf_token": "old"}, "the Hub refuses the token, or wants one (401)"),
        ("org/broken", {}, "org/broken cannot be fetched: 500 Server Error"),
        ("org/portal", {}, "org/portal cannot be fetched: Expecting value"),
        (MODEL, {"revision": "v9"}, f"{MODEL} has no revision 'v9'"),
        (
            "org/torch",
            {},
            "org/torch holds no model.onnx and no onnx/model.onnx, only PyTorch weights; "
            "run: make export MODEL_ID=org/torch",
        ),
        ("org/a--b", {}, "'org/a--b' is neither a folder nor an id of the form organization/name"),
    ],
)  # fmt: skip
def test_refusals(
    environment: dict[str, str], tmp_path: Path, model: str, changes: dict[str, str], message: str
) -> None:
    assert message in fault(settings_for(tmp_path, model_id=model, **changes), environment)
    assert not any(path.is_file() for path in (tmp_path / "data").rglob("*"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("/models/small", "/models/small is not a folder: "),
        ("./small", "./small is not a folder: "),
        ("a/b/c", "a/b/c is not a folder: "),
        ("C:\\small", "C:\\small is neither a folder nor an id of the form organization/name"),
        ("--x", "--x is not exported: "),
    ],
)
def test_what_cannot_be_an_id_is_not_asked_for(
    environment: dict[str, str], hub: Hub, tmp_path: Path, model: str, words: str
) -> None:
    assert words in fault(settings_for(tmp_path, model_id=model), environment)
    assert hub.requests == []


def test_no_network_is_one_line_that_names_the_hub(tmp_path: Path) -> None:
    server = Server(
        "--model-id", MODEL, "--huggingface-hub-cache", str(tmp_path / "data"),
        environment={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    output = server.output()
    assert server.process.returncode == 1
    assert output.splitlines()[-1].endswith(
        f"Error: {MODEL} is not in the local cache ({tmp_path / 'data'}) and http://127.0.0.1:9 "
        "cannot be reached: check the network or HF_ENDPOINT, or give a folder that holds the model"
    )
    assert "Traceback" not in output


def test_without_network_the_snapshot_that_is_there_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "small")
    shutil.rmtree(folder / "onnx")
    snapshot = write_cache(tmp_path / "data", folder)
    settings = settings_for(tmp_path, model_id="tests/small")
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    caplog.set_level(logging.WARNING)
    assert fault(settings, environment).startswith(f"{snapshot} holds no model.onnx")
    assert any("http://127.0.0.1:9 cannot be reached" in text for text in caplog.messages)


def test_a_full_disk_names_the_option(
    environment: dict[str, str], tmp_path: Path, hub: Hub
) -> None:
    (hub.repositories[MODEL] / "onnx/model.onnx_data").write_bytes(bytes(5_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        message = fault(settings_for(tmp_path), environment)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert message.startswith("no space left to write")
    assert message.endswith("free some, or name another place by --huggingface-hub-cache")


def test_without_huggingface_hub_the_remedy_is_named(
    environment: dict[str, str], tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "huggingface_hub.py").write_text("raise ModuleNotFoundError('no hub here')")
    message = fault(settings_for(tmp_path), {**environment, "PYTHONPATH": str(blocked)})
    assert message == (
        f"no hub here: to download {MODEL} at start install the extra `hub`, or export it first"
    )
