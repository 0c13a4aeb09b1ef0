"""Tests on an NVIDIA GPU: `make gpu-check`. Written without one, and not yet run on one."""

import os
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import OutOfMemory
from app.inference.providers.nvidia import driver, engine
from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.model.batch import blank
from app.model.lookup import repository
from app.model.manifest import GRAPH_FILE, Manifest
from app.model.names import TASK_OUTPUTS, DtypeChoice
from app.prove import prove, with_graphs
from tools.gpu import device
from tools.process import ROOT, Server
from tools.texts import passages

pytestmark = pytest.mark.gpu
TEXTS = [*passages(48, longest_words=300), "ok", "Où est la bibliothèque ?", "今天天气很好。"]
ROUNDS = 500


@pytest.fixture(scope="module")
def folder() -> Path:
    """The exported model MODEL_ID, or the default one."""
    if (fault := device.fault()) is not None:
        pytest.skip(fault)
    name = os.environ.get("MODEL_ID", "sentence-transformers/all-MiniLM-L6-v2")
    found = repository.find(name, None, ROOT / "models")
    assert found is not None, f"{name} is not exported: make export MODEL_ID={name}"
    return found


@pytest.fixture(scope="module")
def halved(folder: Path) -> Path:
    """The same, if it was exported in float16 as well."""
    if all(graph.dtype != "float16" for graph in Manifest.read(folder).graphs):
        pytest.skip("the model has no float16 graph: make export DTYPE=float16")
    return folder


def embed(folder: Path, provider: str, *flags: str, dtype: str = "float32") -> NDArray[np.float32]:
    """Return unit vectors over HTTP, from a server that states its device and precision."""
    server = Server("--model-id", str(folder), "--provider", provider, "--dtype", dtype, *flags)
    try:
        server.wait_ready(300)
        info = server.get("/info").json
        assert (info["provider"], info["model_dtype"]) == (provider, dtype)
        vectors: list[list[float]] = []
        for start in range(0, len(TEXTS), 16):
            vectors += server.post("/embed", {"inputs": TEXTS[start : start + 16]}).json
        return np.array(vectors, np.float32)
    finally:
        server.stop()


def test_the_certificate_is_that_of_float32(folder: Path) -> None:
    [certificate] = prove(folder, ProviderRequest("cuda", "float32"))
    assert certificate.provider == "cuda"
    assert certificate.machine == driver.describe(0)
    assert certificate.worst_cosine >= 0.99999
    assert certificate.batch_cosine is not None
    assert certificate.batch_cosine >= 0.99999


def test_every_float16_graph_gives_the_original_s_vectors(halved: Path) -> None:
    graphs = [one for one in Manifest.read(halved).graphs if one.dtype == "float16"]
    certificates = prove(halved, ProviderRequest("cuda", "float16"))
    assert {one.graph for one in certificates} == {one.file for one in graphs}
    for certificate in certificates:
        assert certificate.worst_cosine >= 0.999, certificate.graph
        assert certificate.batch_cosine is not None
        assert certificate.batch_cosine >= 0.999, certificate.graph


def test_float16_is_served_close_to_the_cpu_s(halved: Path) -> None:
    cosines = np.sum(embed(halved, "cuda", dtype="float16") * embed(halved, "cpu"), axis=1)
    assert cosines.min() >= 0.999


def test_served_vectors_are_the_cpu_s(folder: Path) -> None:
    cosines = np.sum(embed(folder, "cuda") * embed(folder, "cpu"), axis=1)
    assert cosines.min() >= 0.99999


@pytest.fixture
def engines(folder: Path, tmp_path: Path) -> ProviderRequest:
    """TensorRT, with a folder for its engines."""
    assert folder
    if (fault := engine.fault()) is not None:
        pytest.skip(fault)
    return ProviderRequest("tensorrt", "float32", cache_dir=tmp_path)


def test_an_engine_in_float16_comes_close(folder: Path, engines: ProviderRequest) -> None:
    [certificate] = prove(folder, replace(engines, dtype="float16"))
    assert certificate.worst_cosine >= 0.999


def test_an_engine_is_built_once_and_gives_the_original_s_vectors(
    folder: Path, engines: ProviderRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        [certificate] = prove(folder, engines)
        assert certificate.provider == "tensorrt"
        assert certificate.worst_cosine >= 0.99999
    begun = [text.partition(" TensorRT engine")[0] for text in caplog.messages]
    assert [text for text in begun if text in {"Building a", "Taking the"}] == [
        "Building a",
        "Taking the",
    ]


def test_two_devices_serve_the_cpu_s_vectors(folder: Path) -> None:
    if (fault := driver.fault((0, 1))) is not None:
        pytest.skip(fault)
    cosines = np.sum(embed(folder, "cuda", "--device-id", "0,1") * embed(folder, "cpu"), axis=1)
    assert cosines.min() >= 0.99999


def test_a_batch_beyond_the_limit_of_memory_is_known_as_that(folder: Path) -> None:
    manifest = Manifest.read(folder)
    weights = sum(path.stat().st_size for path in folder.glob(f"{GRAPH_FILE}*"))
    wanted = ProviderRequest("cuda", "float32", gpu_memory_limit=2 * weights + 200_000_000)
    [plan] = plans(wanted, manifest.task)
    session = Session.load(folder, manifest, plan)
    outputs = (TASK_OUTPUTS[manifest.task],)
    session.run(blank(1, 8, manifest.padding), outputs)
    with pytest.raises(OutOfMemory):
        session.run(blank(4000, manifest.max_input_length, manifest.padding), outputs)
    session.run(blank(1, 8, manifest.padding), outputs)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_memory_is_flat_over_random_shapes(
    folder: Path, dtype: DtypeChoice, request: pytest.FixtureRequest
) -> None:
    if dtype == "float16":
        request.getfixturevalue("halved")
    program = shutil.which("nvidia-smi")
    if program is None:
        pytest.skip("nvidia-smi is needed to read the memory of the device")
    manifest = Manifest.read(folder)
    plan = with_graphs(ProviderRequest("cuda", dtype), manifest)[0]
    session = Session.load(folder, manifest, plan)
    limits = plan.limits(manifest.max_input_length, 16384)
    chance = random.Random(1)

    def used() -> int:
        query = [program, "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return int(subprocess.run(query, capture_output=True, check=True).stdout)

    def run(length: int, rows: int) -> None:
        session.run(blank(rows, length, manifest.padding), (TASK_OUTPUTS[manifest.task],))

    run(manifest.max_input_length, limits.max_tokens // manifest.max_input_length)
    before = used()
    for _ in range(ROUNDS):
        length = chance.randint(1, manifest.max_input_length)
        run(length, chance.randint(1, limits.max_tokens // length))
    assert used() <= before * 1.1 + 64  # MiB
