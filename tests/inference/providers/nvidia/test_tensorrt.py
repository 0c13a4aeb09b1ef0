"""A start with TensorRT as far as it goes without a GPU.

A session on the CPU that claims to be TensorRT's stands in for the builder of engines.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from app import prove
from app.errors import BackendFailed, StartupError
from app.inference.loading import LoadedModel
from app.inference.providers.choose import candidates
from app.inference.providers.nvidia import cuda, driver, engine
from app.inference.providers.nvidia.tensorrt import ORT_NAME
from app.inference.providers.plan import Machine, Plan, ProviderRequest
from app.model.batch import blank
from app.model.names import SENTENCE_EMBEDDING
from app.options.settings import Settings
from tests.support.loading import load_folder, try_plans
from tools import tiny

HERE = Machine(frozenset({ORT_NAME}), 2, bfloat16=False)


def plan(**wanted: Any) -> Plan:
    [found] = candidates(ProviderRequest("tensorrt", **wanted), HERE, "embedding")
    return found


class Claimed(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A session on the CPU that stands in for TensorRT's; it leaves an engine where it is told to."""

    given: dict[str, str]
    elsewhere: bool = False  # whether ONNX Runtime moved it to CUDA

    def __init__(self, path: Path, options: Any, *, providers: Any, enable_fallback: int) -> None:
        [(name, given)] = providers
        assert (name, enable_fallback) == (ORT_NAME, 0)
        Claimed.given = given
        if "trt_engine_cache_path" in given:
            (Path(given["trt_engine_cache_path"]) / "one.engine").write_bytes(b"engine")
        super().__init__(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return [cuda.ORT_NAME if self.elsewhere else ORT_NAME, *super().get_providers()]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return []


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Claimed)
    monkeypatch.setattr(driver, "describe", lambda device: f"NVIDIA L4 {device} sm_89")
    monkeypatch.setattr(driver, "cuda_version", lambda: "13.0")
    monkeypatch.setattr(engine, "version", lambda: "10.16.1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")


def start(
    monkeypatch: pytest.MonkeyPatch, folder: Path, max_batch_tokens: int = 64, **wanted: Any
) -> LoadedModel:
    try_plans(monkeypatch, plan(**wanted))
    return load_folder(folder, ProviderRequest(), max_batch_tokens)


@pytest.mark.usefixtures("claimed")
def test_a_start_builds_an_engine_and_proves_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = start(monkeypatch, tiny_model, cache_dir=tmp_path, devices=(1,))
    assert (model.session.provider, model.session.compute_dtype) == ("tensorrt", "float32")
    rows = 64 // tiny.MAX_LENGTH
    assert model.limits.max_rows == rows
    assert Claimed.given["trt_profile_max_shapes"].startswith(f"input_ids:{rows}x{tiny.MAX_LENGTH}")
    assert Claimed.given["device_id"] == "1"
    [engine] = tmp_path.rglob("*.engine")
    assert engine.parent.parent.name.startswith("NVIDIA-L4-1-sm_89-onnxruntime1.")
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.usefixtures("claimed")
def test_float16_is_computed_of_the_float32_graph(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = start(monkeypatch, tiny_model, dtype="float16")
    assert (model.session.compute_dtype, model.session.graph.dtype) == ("float16", "float32")
    assert Claimed.given["trt_fp16_enable"] == "1"


@pytest.mark.usefixtures("claimed")
def test_a_second_start_takes_the_engine_unless_the_batches_are_larger(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch, tiny_model, cache_dir=tmp_path)
    [first] = tmp_path.rglob("*.engine")
    start(monkeypatch, tiny_model, cache_dir=tmp_path)
    assert Claimed.given["trt_engine_cache_path"] == str(first.parent)
    start(monkeypatch, tiny_model, max_batch_tokens=640, cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.engine"))) == 2


@pytest.mark.usefixtures("claimed")
def test_an_engine_that_was_proved_ahead_is_the_one_that_a_start_takes(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prove, "plans", lambda wanted, task: candidates(wanted, HERE, task))
    flags = ["--provider", "tensorrt", "--cache-dir", str(tmp_path)]
    assert prove.main([str(tiny_model), *flags]) == 0
    [certificate] = json.loads(capsys.readouterr().out)
    assert certificate["provider"] == "tensorrt"
    [engine] = tmp_path.rglob("*.engine")
    start(monkeypatch, tiny_model, Settings(model_id="any").max_batch_tokens, cache_dir=tmp_path)
    assert Claimed.given["trt_engine_cache_path"] == str(engine.parent)


@pytest.mark.usefixtures("claimed")
def test_without_a_cache_the_engine_is_not_kept(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start(monkeypatch, tiny_model)
    assert "trt_engine_cache_path" not in Claimed.given
    assert any("is built at every start" in text for text in caplog.messages)


@pytest.mark.usefixtures("claimed")
def test_a_shape_that_the_engine_does_not_know_never_reaches_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = start(monkeypatch, tiny_model)
    padding = model.manifest.padding
    known = model.session.run(blank(1, 8, padding), (SENTENCE_EMBEDDING,))
    assert np.isfinite(known[SENTENCE_EMBEDDING]).all()
    for rows, length in ((1, 7), (1, tiny.MAX_LENGTH + 1), (100, 8)):
        with pytest.raises(BackendFailed, match=f"not built for {rows} × {length} tokens"):
            model.session.run(blank(rows, length, padding), (SENTENCE_EMBEDDING,))


@pytest.mark.usefixtures("claimed")
def test_a_fall_back_to_cuda_is_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Claimed, "elsewhere", True)
    with pytest.raises(StartupError, match=r"--provider tensorrt: .*got CUDAExecutionProvider"):
        start(monkeypatch, tiny_model)
