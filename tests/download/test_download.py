"""Downloading at start: which files are fetched and where to, interruptions, and failures."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.model.lookup.hub_cache import download_place
from tests.support.downloading import GRAPH, MODEL, NEEDED, cached, fault, prepare, settings_for
from tests.support.hub import COMMIT, Hub
from tests.support.snapshot import DENSE, contents, with_dense, write_cache
from tools import tiny
from tools.process import Server

SENT = "hf_abc"


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    """A cache as Optimum leaves it: with the graph, but without a pooling configuration."""
    held = tmp_path / "held"
    left_out = shutil.ignore_patterns("modules.json", "1_Pooling", "config_sentence_*")
    shutil.copytree(hub.repositories[MODEL], held, ignore=left_out)
    write_cache(tmp_path / "data", held, COMMIT, model=MODEL)
    return held


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_settings_of_other_downloaders_do_not_get_in_the_way(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Images of TEI set this variable, which needs a package that is not installed here."""
    prepare(settings_for(tmp_path), {**environment, "HF_HUB_ENABLE_HF_TRANSFER": "1"})
