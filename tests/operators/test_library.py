"""Conditions for using the compiled operators, and errors of sessions with an invalid graph."""

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.operators import library
from tests.support.operators import Floats, Operators, graph, interleaved

ONES = np.ones((40, 24), np.float32)


def copied(runner: Operators, folder: Path) -> Path:
    path = folder / "operators.so"
    shutil.copy(runner.path, path)
    shutil.copy(library.digest_file(runner.path), library.digest_file(path))
    return path


@pytest.mark.parametrize(
    ("flags", "kernel"),
    [
        ("fma avx2 avx512f avx512bw avx512vl avx512_vnni avx_vnni", "avx512_vnni"),
        ("fma avx2 avx512f avx512bw avx512vl", "avx2"),
        ("avx2 fma avx_vnni", "avx_vnni"),
        ("avx2", None),
        ("", None),
    ],
)
def test_the_fastest_kernel_of_a_processor_is_taken(
    tmp_path: Path, flags: str, kernel: str | None
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t:\n")
    assert library.best(cpuinfo) == kernel


@pytest.mark.parametrize(("granted", "kernel"), [(True, "amx_int8"), (False, "avx512_vnni")])
def test_tiles_are_used_where_linux_grants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granted: bool, kernel: str
) -> None:
    monkeypatch.setattr(library, "may_use_tiles", lambda: granted)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t: fma avx512bw avx512vl avx512_vnni amx_tile amx_int8 amx_bf16\n")
    assert library.best(cpuinfo) == kernel


def test_no_tiles_are_granted_by_a_processor_that_has_none() -> None:
    assert library.may_use_tiles() <= ("amx_tile" in Path("/proc/cpuinfo").read_text())


def test_for_an_unknown_processor_there_is_no_kernel(tmp_path: Path) -> None:
    assert library.best(tmp_path / "cpuinfo") is None


def test_without_a_library_the_remedy_is_named(tmp_path: Path) -> None:
    found = library.fault(tmp_path / "operators.so")
    assert found == "the operators are not built: run python -m app.operators.build"


def test_a_built_library_can_be_used(runner: Operators, tmp_path: Path) -> None:
    assert library.fault(copied(runner, tmp_path)) is None


def test_a_library_of_another_version_is_not_used(
    runner: Operators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "KERNELS", {"of_another_version": frozenset()})
    found = str(library.fault(copied(runner, tmp_path)))
    assert found.startswith("the operators cannot be loaded: ")
    assert found.endswith("undefined symbol: of_another_version")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:4096],
        lambda _: b"",
        lambda content: content[:9999] + bytes([content[9999] ^ 1]) + content[10000:],
        lambda _: b"#!/bin/sh\n",
    ],
    ids=["truncated", "empty", "flipped", "text"],
)
def test_a_library_that_is_not_as_built_is_never_opened(
    runner: Operators, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = copied(runner, tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    assert (
        library.fault(path) == f"{path} is not as it was built: run python -m app.operators.build"
    )


def test_a_library_for_other_machines_cannot_be_loaded(runner: Operators, tmp_path: Path) -> None:
    path = copied(runner, tmp_path)
    content = bytearray(path.read_bytes())
    content[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    path.write_bytes(content)
    library.digest_file(path).write_text(hashlib.sha256(content).hexdigest())
    assert str(library.fault(path)).startswith("the operators cannot be loaded: ")


def test_several_sessions_each_have_their_own_threads(runner: Operators) -> None:
    model = graph(interleaved([ONES]))
    sessions = [runner.session(model, threads=threads) for threads in (1, 3, 2, 3)]
    x = np.arange(120, dtype=np.float32).reshape(3, 40)
    answers = [one.run(None, {"x": x})[0].tobytes() for one in sessions]
    assert len(set(answers)) == 1


def test_runs_side_by_side_on_one_session_give_what_one_gives_alone(runner: Operators) -> None:
    random = np.random.default_rng(4)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((64, 400), (400, 64))]
    session = runner.session(graph(interleaved(weights), feed_forward=1, activation=1), "", 2)
    inputs = [random.normal(size=(rows, 64)).astype(np.float32) for rows in (1, 7, 60, 200)] * 10
    alone = [session.run(None, {"x": x})[0].tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: session.run(None, {"x": x})[0].tobytes(), inputs))
    assert together == alone


W = np.ones((40, 40), np.float32)


BIAS, NAN = np.zeros(40, np.float32), np.float32(np.nan)


@pytest.mark.parametrize(
    ("constants", "attributes", "line"),
    [
        ([W, BIAS], {"activation": 4}, "out of its range"),
        ([W, BIAS], {"activation": -1}, "out of its range"),
        ([W, BIAS], {"activation": 1 << 40}, "out of its range"),
        ([W, BIAS], {"feed_forward": 2}, "out of its range"),
        ([W, BIAS], {"halves": 2}, "out of its range"),
        ([], {}, "number of inputs does not fit"),
        ([W], {}, "number of inputs does not fit"),
        ([W, BIAS] * 4, {}, "number of inputs does not fit"),
        ([W, BIAS], {"feed_forward": 1}, "number of inputs does not fit"),
        ([W, BIAS] * 2, {"feed_forward": 1, "halves": 1}, "number of inputs does not fit"),
        ([W, BIAS, ONES[:9], BIAS[:24]], {}, "do not fit each other"),
        ([np.ones((0, 40), np.float32), BIAS], {}, "weights are empty"),
        ([W[0], BIAS], {}, "weights have two axes"),
        ([W, W], {}, "weights have two axes"),
        ([W, BIAS[:7]], {}, "their bias"),
        ([W * NAN, BIAS], {}, "a weight is not a finite number"),
        ([W * np.float32(np.inf), BIAS], {}, "a weight is not a finite number"),
        (
            [ONES[:, :23], BIAS[:23]] * 2 + [W, BIAS],
            {"feed_forward": 1, "halves": 1},
            "into halves",
        ),
        ([ONES, BIAS[:24], W, BIAS], {"feed_forward": 1}, "do not fit each other"),
        ([W, BIAS] * 3, {"feed_forward": 1, "halves": 1}, "do not fit each other"),
        ([W, BIAS, ONES, BIAS[:24], W, BIAS], {"feed_forward": 1}, "do not fit each other"),
    ],
)
def test_an_invalid_node_is_refused_with_a_message(
    runner: Operators, constants: list[Floats], attributes: dict[str, Any], line: str
) -> None:
    with pytest.raises(Exception, match=line):
        runner.session(graph(constants, **attributes))


def test_weights_that_are_not_constant_are_refused(runner: Operators) -> None:
    with pytest.raises(Exception, match="weights and biases have to be constant"):
        runner.session(graph([], ["x", "weights", "bias"]))


def test_inputs_that_do_not_fit_are_refused_and_the_session_goes_on(runner: Operators) -> None:
    session = runner.session(graph(interleaved([ONES])))
    x = np.ones((2, 40), np.float32)
    for wrong, line in (
        (x[:, :39], "another width than the weights have rows"),
        (x[0, 0], "another width than the weights have rows"),
        (x.reshape(1, 1, 1, 1, 1, 1, 1, 2, 40), "more than 8 axes"),
    ):
        with pytest.raises(Exception, match=line):
            session.run(None, {"x": np.asarray(wrong)})
    np.testing.assert_allclose(session.run(None, {"x": x})[0], 40, rtol=1e-3)


@pytest.mark.parametrize("shape", [(0, 40), (3, 0, 40), (40,), (2, 1, 3, 40)])
def test_any_number_of_axes_and_of_rows(runner: Operators, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    [found] = runner.products(x, [ONES], threads=2)
    assert found.shape == (*shape[:-1], 24)
    layer = runner.feed_forward(x, [ONES, np.ascontiguousarray(ONES.T)], threads=2)
    assert layer.shape == shape
