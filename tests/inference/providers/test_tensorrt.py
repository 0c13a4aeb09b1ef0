"""TensorRT as far as it goes without a GPU: shapes, options, kept engines, and a start.

What builds an engine here is a session on the CPU that claims to be TensorRT's.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import prove
from app.errors import BackendFailed, StartupError
from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions, load
from app.inference.providers import cuda, tensorrt
from app.inference.providers.choose import candidates
from app.inference.providers.plan import ORT_NAMES, Here, Plan, Wanted
from app.model.batch import BatchLimits, blank, choose
from app.model.names import SENTENCE_EMBEDDING
from app.settings import Settings
from tools import process, tiny
from tools.process import ROOT

HERE = Here(frozenset(ORT_NAMES.values()), 2, bfloat16=False)
PLATFORM = "NVIDIA L4 sm_89 onnxruntime1.31.1 tensorrt10.16.1 cuda13.0"
SHELF = "tensorrt/NVIDIA-L4-sm_89-onnxruntime1.31.1-tensorrt10.16.1-cuda13.0"


def plan(**wanted: Any) -> Plan:
    [found] = candidates(Wanted("tensorrt", **wanted), HERE, "embedding")
    return found


def test_an_engine_is_for_shapes_up_to_the_largest_batch() -> None:
    limits = plan().limits(512, 16384)
    profile = tensorrt.Profile.of(limits)
    assert (profile.least, profile.most) == ((1, 8), (32, 512))
    assert tensorrt.Profile.of(plan().limits(512, 400)).most == (1, 512)
    assert not profile.holds((33, 8))
    assert not profile.holds((1, 513))
    assert not profile.holds((1, 7))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=80).map(sorted),
    max_batch_tokens=st.integers(300, 5000),
    max_rows=st.none() | st.integers(1, 50),
    data=st.data(),
)
def test_no_batch_has_a_shape_that_the_engine_does_not_know(
    lengths: list[int], max_batch_tokens: int, max_rows: int | None, data: Any
) -> None:
    limits = plan().limits(300, max_batch_tokens)
    profile = tensorrt.Profile.of(limits)
    served = limits.capped(max_rows)
    chosen = choose(lengths, data.draw(st.integers(0, len(lengths) - 1)), served)
    rows = lengths[chosen]
    assert profile.holds((len(rows), served.padded(max(rows))))
    assert profile.least <= profile.usual <= profile.most


def test_every_input_has_the_shapes_of_the_profile() -> None:
    profile = tensorrt.Profile((1, 8), (4, 16), (4, 64))
    assert tensorrt.options(("input_ids", "attention_mask"), profile, "float32") == {
        "trt_profile_min_shapes": "input_ids:1x8,attention_mask:1x8",
        "trt_profile_opt_shapes": "input_ids:4x16,attention_mask:4x16",
        "trt_profile_max_shapes": "input_ids:4x64,attention_mask:4x64",
    }
    half = tensorrt.options(("input_ids",), profile, "float16")
    assert (half["trt_fp16_enable"], half["trt_layer_norm_fp32_fallback"]) == ("1", "1")


def test_an_engine_is_named_for_all_that_it_is_made_of() -> None:
    files, options = {"model.onnx": "1"}, {"trt_fp16_enable": "1"}
    name = tensorrt.engine_name(files, "model.onnx", options)
    assert name == tensorrt.engine_name({**files}, "model.onnx", {**options})
    others = {
        tensorrt.engine_name({"model.onnx": "2"}, "model.onnx", options),
        tensorrt.engine_name(files, "other.onnx", options),
        tensorrt.engine_name(files, "model.onnx", {}),
    }
    assert len(others - {name}) == 3


# Where engines are kept.


def build(folder: Path | None, engine: bytes = b"engine") -> None:
    assert folder is not None
    (folder / "one.engine").write_bytes(engine)
    (folder / "sm89.timing").write_bytes(engine)


def test_an_engine_is_built_once(tmp_path: Path) -> None:
    with tensorrt.kept(tmp_path, PLATFORM, "name") as folder:
        assert folder != tmp_path / SHELF / "name"
        build(folder)
    with tensorrt.kept(tmp_path, PLATFORM, "name") as folder:
        assert folder == tmp_path / SHELF / "name"
        assert (folder / "one.engine").read_bytes() == b"engine"
    assert sorted(path.name for path in (tmp_path / SHELF).iterdir()) == ["name", "sm89.timing"]


def test_what_was_timed_for_one_engine_serves_the_next(tmp_path: Path) -> None:
    with tensorrt.kept(tmp_path, PLATFORM, "one") as folder:
        build(folder, b"first")
    with tensorrt.kept(tmp_path, PLATFORM, "two") as folder:
        assert folder is not None
        assert (folder / "sm89.timing").read_bytes() == b"first"
        build(folder, b"second")
    assert (tmp_path / SHELF / "sm89.timing").read_bytes() == b"second"


def test_an_engine_of_another_platform_is_not_taken(tmp_path: Path) -> None:
    with tensorrt.kept(tmp_path, PLATFORM, "name") as folder:
        build(folder)
    newer = PLATFORM.replace("tensorrt10.16.1", "tensorrt10.17.0")
    with tensorrt.kept(tmp_path, newer, "name") as folder:
        assert folder is not None
        assert not list(folder.iterdir())


def test_a_build_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaks_off() -> None:
        with tensorrt.kept(tmp_path, PLATFORM, "name") as folder:
            build(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert not list((tmp_path / SHELF).iterdir())


def test_two_that_build_at_a_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    with tensorrt.kept(tmp_path, PLATFORM, "name") as slow:
        with tensorrt.kept(tmp_path, PLATFORM, "name") as fast:
            build(fast, b"fast")
        build(slow, b"slow")
    assert (tmp_path / SHELF / "name" / "one.engine").read_bytes() == b"fast"


def test_a_kept_engine_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with tensorrt.kept(tmp_path, PLATFORM, "name") as folder:
        build(folder)
    with (
        pytest.raises(StartupError, match=r"damaged; remove .*/name to have it built anew"),
        tensorrt.kept(tmp_path, PLATFORM, "name"),
    ):
        raise StartupError("damaged")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with (
        pytest.raises(StartupError, match=r"Not a directory \(.*\): see that --cache-dir can be"),
        tensorrt.kept(place, PLATFORM, "name"),
    ):
        pass


# A build that takes its time.


def test_the_log_tells_of_a_build_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.inference.providers.tensorrt")
    told = threading.Event()
    monkeypatch.setattr(tensorrt, "TOLD_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(tensorrt.logger, "handle", lambda _: told.set())
    assert tensorrt.patiently(lambda: told.wait(10))


def test_a_build_that_fails_says_why() -> None:
    def fails() -> None:
        raise StartupError("no memory")

    with pytest.raises(StartupError, match="no memory"):
        tensorrt.patiently(fails)


_PROGRAM = """
import ctypes, signal, sys
from pathlib import Path
from app.inference.providers import tensorrt

signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

def build():
    print("building", flush=True)
    ctypes.CDLL(None).sleep(600)  # native, as ONNX Runtime is

with tensorrt.kept(Path(sys.argv[1]), "GPU", "name"):
    tensorrt.patiently(build)
"""


def test_a_signal_ends_a_build_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    building = process.start(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert building.stdout is not None
    assert building.stdout.readline() == "building\n"
    assert [path.name for path in tmp_path.rglob("name")] == ["name"]
    building.send_signal(signal.SIGTERM)
    assert building.wait(30) == 143
    assert not list((tmp_path / "tensorrt" / "GPU").iterdir())


# A start.


class Claimed(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A session on the CPU in the place of TensorRT's; it leaves an engine where it is told to."""

    given: dict[str, str]
    elsewhere: bool = False  # whether ONNX Runtime moved it to CUDA

    def __init__(self, path: Path, options: Any, *, providers: Any, enable_fallback: int) -> None:
        [(name, given)] = providers
        assert (name, enable_fallback) == (ORT_NAMES["tensorrt"], 0)
        Claimed.given = given
        if "trt_engine_cache_path" in given:
            build(Path(given["trt_engine_cache_path"]))
        super().__init__(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return [ORT_NAMES["cuda" if self.elsewhere else "tensorrt"], *super().get_providers()]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return []


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Claimed)
    monkeypatch.setattr(cuda, "describe", lambda device: f"NVIDIA L4 {device} sm_89")
    monkeypatch.setattr(cuda, "cuda_version", lambda: "13.0")
    monkeypatch.setattr(tensorrt, "version", lambda: "10.16.1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")


def start(
    monkeypatch: pytest.MonkeyPatch, folder: Path, max_batch_tokens: int = 64, **wanted: Any
) -> LoadedModel:
    monkeypatch.setattr(loading, "plans", lambda *_: [plan(**wanted)])
    return load(folder, LoadOptions(Wanted(), 1, max_batch_tokens, auto_truncate=True))


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


def test_limits_that_bound_nothing_are_no_profile() -> None:
    with pytest.raises(AssertionError):
        tensorrt.Profile.of(BatchLimits(64))
