"""TensorRT engines: the libraries, the shapes that an engine is built for, and the engine cache.

An engine is the graph compiled for one GPU, which takes minutes. It is built before the port opens,
for every shape up to the largest batch: an unknown shape would have it rebuilt in the middle of a
request (microsoft/onnxruntime #13559). ONNX Runtime does not notice that a cached engine is of
other versions (#22244), so its folder is named after all that it depends on.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from app.errors import StartupError
from app.model.batch import BatchLimits
from app.model.names import Dtype

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Libraries that ONNX Runtime 1.31's TensorRT provider is linked with (`readelf -d`), beside CUDA.
LIBRARIES = ("libcudnn.so.9", "libnvinfer.so.10", "libnvonnxparser.so.10")
_PACKAGE = "tensorrt_libs"  # from the distribution tensorrt-cu13-libs
TOLD_EVERY_SECONDS = 30.0  # how often the log says that an engine is still being built


def fault() -> str | None:
    """Return why TensorRT cannot be used, with the remedy, or None if its libraries are here."""
    for name in LIBRARIES:
        try:
            _library(name)
        except OSError as error:
            return (
                f"a library of TensorRT 10 is missing ({error}): install 'tensorrt-cu13-libs<11' "
                "beside the `gpu` extra, or build the image with --target gpu and --build-arg "
                "TENSORRT=true"
            )
    return None


def version() -> str:
    """Return the version of the library that builds engines, such as 10.16.1."""
    number: int = _library("libnvinfer.so.10").getInferLibVersion()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def keep_float32() -> None:
    """Keep float32 products from TF32; NVIDIA's libraries read this as the first session begins.

    TensorRT would use TF32, which has a mantissa of 10 bits, and ONNX Runtime has no option against
    it (#26029).
    """
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes (rows, length) that an engine takes; it is tuned for the usual one."""

    least: tuple[int, int]
    usual: tuple[int, int]
    most: tuple[int, int]

    @classmethod
    def of(cls, limits: BatchLimits) -> Self:
        """Return the shapes of all batches within limits that bound rows and lengths."""
        assert limits.max_rows is not None
        lengths = limits.lengths
        return cls(
            least=(1, lengths[0]),
            usual=(limits.max_rows, lengths[len(lengths) // 2]),
            most=(limits.max_rows, lengths[-1]),
        )

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Check whether the engine was built for a shape."""
        return all(
            low <= size <= high
            for low, size, high in zip(self.least, shape, self.most, strict=True)
        )


def options(inputs: Sequence[str], profile: Profile, dtype: Dtype) -> dict[str, str]:
    """Return ONNX Runtime's options for an engine; every input has the shape of a batch."""

    def shapes(shape: tuple[int, int]) -> str:
        return ",".join(f"{name}:{shape[0]}x{shape[1]}" for name in inputs)

    chosen = {
        "trt_profile_min_shapes": shapes(profile.least),
        "trt_profile_opt_shapes": shapes(profile.usual),
        "trt_profile_max_shapes": shapes(profile.most),
    }
    if dtype == "float16":  # of the float32 graph; normalization would lose digits or overflow
        chosen |= {"trt_fp16_enable": "1", "trt_layer_norm_fp32_fallback": "1"}
    return chosen


def caches(folder: Path | None) -> dict[str, str]:
    """Return ONNX Runtime's options for the folder that holds the engine and its timings."""
    if folder is None:
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def engine_name(files: Mapping[str, str], graph: str, chosen: Mapping[str, str]) -> str:
    """Return a name for a graph of a model with these files, compiled with these options."""
    parts = json.dumps([files, graph, chosen], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


@contextlib.contextmanager
def engine_folder(cache: Path | None, platform: str, name: str) -> Iterator[Path | None]:
    """Yield the folder to read or build an engine in, or None without a cache.

    `platform` is the GPU with the versions of the libraries. A new engine appears whole or not at
    all; timings are shared by all engines of a platform.

    Raises: StartupError naming the option.
    """
    if cache is None:
        logger.warning(
            "the TensorRT engine is built at every start: name a folder to keep it in with "
            "--cache-dir"
        )
        yield None
        return
    place = cache / "tensorrt" / re.sub(r"[^\w.]+", "-", platform) / name
    with _found(place) if any(place.glob("*.engine")) else _made(place) as folder:
        yield folder


@contextlib.contextmanager
def _found(place: Path) -> Iterator[Path]:
    logger.info("Taking the TensorRT engine in %s", place)
    try:
        yield place
    except StartupError as error:
        raise StartupError(f"{error}; remove {place} to have it built anew") from None


@contextlib.contextmanager
def _made(place: Path) -> Iterator[Path]:
    """Yield a temporary folder to build in, and move it to its place if it then holds an engine."""
    logger.info("Building a TensorRT engine, which may take minutes, for %s", place)
    shelf = place.parent
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".building-", dir=shelf, ignore_cleanup_errors=True
        ) as made:
            building = Path(made) / place.name
            building.mkdir()
            for timings in shelf.glob("*.timing"):
                shutil.copy(timings, building)
            yield building
            for timings in building.glob("*.timing"):
                timings.replace(shelf / timings.name)
            if any(building.glob("*.engine")):
                with contextlib.suppress(OSError):  # another process was first
                    building.rename(place)
    except OSError as error:
        raise StartupError(
            f"{error.strerror} ({error.filename}): see that --cache-dir can be written"
        ) from None


def build_in_thread(build: Callable[[], T]) -> T:
    """Return the result of `build`, logging while it takes long; a signal ends the wait."""
    built: Future[T] = Future()

    def work() -> None:
        try:
            built.set_result(build())
        except BaseException as error:  # noqa: BLE001  # raised again by the caller
            built.set_exception(error)

    # Native code cannot be interrupted; the main thread can, and a daemon does not hold it back.
    threading.Thread(target=work, name="engine", daemon=True).start()
    started = time.monotonic()
    while not wait([built], TOLD_EVERY_SECONDS).done:
        logger.info("The TensorRT engine is being built, %.0f s so far", time.monotonic() - started)
    return built.result()


def _library(name: str) -> ctypes.CDLL:
    """Load a library from the package that brings it, or else from the system."""
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / name
        if path.is_file():
            return ctypes.CDLL(str(path))
    return ctypes.CDLL(name)
