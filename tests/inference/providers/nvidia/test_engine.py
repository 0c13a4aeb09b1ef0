"""TensorRT's engines as far as they go without a GPU: shapes, options, and their cache."""

import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StartupError
from app.inference.providers.nvidia import engine
from app.inference.providers.nvidia.tensorrt import TENSORRT
from app.inference.providers.plan import Machine, Plan, ProviderRequest
from app.model.batch import BatchLimits, choose
from tools import process
from tools.process import ROOT

HERE = Machine(frozenset({TENSORRT.ort_name}), 2, bfloat16=False)
PLATFORM = "NVIDIA L4 sm_89 onnxruntime1.31.1 tensorrt10.16.1 cuda13.0"
SHELF = "tensorrt/NVIDIA-L4-sm_89-onnxruntime1.31.1-tensorrt10.16.1-cuda13.0"


def plan() -> Plan:
    [found] = TENSORRT.asked(ProviderRequest("tensorrt"), HERE, "embedding")
    return found


def test_an_engine_is_for_shapes_up_to_the_largest_batch() -> None:
    limits = plan().limits(512, 16384)
    profile = engine.Profile.of(limits)
    assert (profile.least, profile.most) == ((1, 8), (32, 512))
    assert engine.Profile.of(plan().limits(512, 400)).most == (1, 512)
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
    profile = engine.Profile.of(limits)
    served = limits.capped(max_rows)
    chosen = choose(lengths, data.draw(st.integers(0, len(lengths) - 1)), served)
    rows = lengths[chosen]
    assert profile.holds((len(rows), served.padded(max(rows))))
    assert profile.least <= profile.usual <= profile.most


def test_every_input_has_the_shapes_of_the_profile() -> None:
    profile = engine.Profile((1, 8), (4, 16), (4, 64))
    assert engine.options(("input_ids", "attention_mask"), profile, "float32") == {
        "trt_profile_min_shapes": "input_ids:1x8,attention_mask:1x8",
        "trt_profile_opt_shapes": "input_ids:4x16,attention_mask:4x16",
        "trt_profile_max_shapes": "input_ids:4x64,attention_mask:4x64",
    }
    half = engine.options(("input_ids",), profile, "float16")
    assert (half["trt_fp16_enable"], half["trt_layer_norm_fp32_fallback"]) == ("1", "1")


def test_an_engine_is_named_for_all_that_it_is_made_of() -> None:
    files, options = {"model.onnx": "1"}, {"trt_fp16_enable": "1"}
    name = engine.engine_name(files, "model.onnx", options)
    assert name == engine.engine_name({**files}, "model.onnx", {**options})
    others = {
        engine.engine_name({"model.onnx": "2"}, "model.onnx", options),
        engine.engine_name(files, "other.onnx", options),
        engine.engine_name(files, "model.onnx", {}),
    }
    assert len(others - {name}) == 3


# The cache of engines.


def build(folder: Path | None, content: bytes = b"engine") -> None:
    assert folder is not None
    (folder / "one.engine").write_bytes(content)
    (folder / "sm89.timing").write_bytes(content)


def test_an_engine_is_built_once(tmp_path: Path) -> None:
    with engine.engine_folder(tmp_path, PLATFORM, "name") as folder:
        assert folder != tmp_path / SHELF / "name"
        build(folder)
    with engine.engine_folder(tmp_path, PLATFORM, "name") as folder:
        assert folder == tmp_path / SHELF / "name"
        assert (folder / "one.engine").read_bytes() == b"engine"
    assert sorted(path.name for path in (tmp_path / SHELF).iterdir()) == ["name", "sm89.timing"]


def test_the_timing_cache_of_one_engine_serves_the_next(tmp_path: Path) -> None:
    with engine.engine_folder(tmp_path, PLATFORM, "one") as folder:
        build(folder, b"first")
    with engine.engine_folder(tmp_path, PLATFORM, "two") as folder:
        assert folder is not None
        assert (folder / "sm89.timing").read_bytes() == b"first"
        build(folder, b"second")
    assert (tmp_path / SHELF / "sm89.timing").read_bytes() == b"second"


def test_an_engine_of_another_platform_is_not_taken(tmp_path: Path) -> None:
    with engine.engine_folder(tmp_path, PLATFORM, "name") as folder:
        build(folder)
    newer = PLATFORM.replace("tensorrt10.16.1", "tensorrt10.17.0")
    with engine.engine_folder(tmp_path, newer, "name") as folder:
        assert folder is not None
        assert not list(folder.iterdir())


def test_a_build_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaks_off() -> None:
        with engine.engine_folder(tmp_path, PLATFORM, "name") as folder:
            build(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert not list((tmp_path / SHELF).iterdir())


def test_two_that_build_at_a_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    with engine.engine_folder(tmp_path, PLATFORM, "name") as slow:
        with engine.engine_folder(tmp_path, PLATFORM, "name") as fast:
            build(fast, b"fast")
        build(slow, b"slow")
    assert (tmp_path / SHELF / "name" / "one.engine").read_bytes() == b"fast"


def test_a_kept_engine_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with engine.engine_folder(tmp_path, PLATFORM, "name") as folder:
        build(folder)
    with (
        pytest.raises(StartupError, match=r"damaged; remove .*/name to have it built anew"),
        engine.engine_folder(tmp_path, PLATFORM, "name"),
    ):
        raise StartupError("damaged")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with (
        pytest.raises(StartupError, match=r"Not a directory \(.*\): see that --cache-dir can be"),
        engine.engine_folder(place, PLATFORM, "name"),
    ):
        pass


# A slow build.


def test_the_log_tells_of_a_build_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.inference.providers.nvidia.engine")
    told = threading.Event()
    monkeypatch.setattr(engine, "TOLD_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(engine.logger, "handle", lambda _: told.set())
    assert engine.build_in_thread(lambda: told.wait(10))


def test_a_build_that_fails_says_why() -> None:
    def fails() -> None:
        raise StartupError("no memory")

    with pytest.raises(StartupError, match="no memory"):
        engine.build_in_thread(fails)


_PROGRAM = """
import ctypes, signal, sys
from pathlib import Path
from app.inference.providers.nvidia import engine

signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

def build():
    print("building", flush=True)
    ctypes.CDLL(None).sleep(600)  # native, as ONNX Runtime is

with engine.engine_folder(Path(sys.argv[1]), "GPU", "name"):
    engine.build_in_thread(build)
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


def test_limits_that_bound_nothing_are_no_profile() -> None:
    with pytest.raises(AssertionError):
        engine.Profile.of(BatchLimits(64))
