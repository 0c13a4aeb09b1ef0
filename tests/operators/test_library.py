"""Whether the compiled operators can be used, and what a session says of one that is wrong."""

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from app.operators import library
from tests.support.operators import Floats, Operators, graph

ONES = np.ones((40, 24), np.float32)


def copied(runner: Operators, folder: Path) -> Path:
    path = folder / "operators.so"
    shutil.copy(runner.path, path)
    shutil.copy(library.digest_file(runner.path), library.digest_file(path))
    return path


def test_without_a_library_the_remedy_is_named(tmp_path: Path) -> None:
    found = library.fault(tmp_path / "operators.so")
    assert found == "the operators are not built: run python -m app.operators.build"


def test_a_built_library_can_be_used(runner: Operators, tmp_path: Path) -> None:
    assert library.fault(copied(runner, tmp_path)) is None


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
    model = graph("Int16Linear", [ONES], ["x"], {"parts": 1})
    sessions = [runner.session(model, threads=threads) for threads in (1, 3, 2, 3)]
    x = np.arange(120, dtype=np.float32).reshape(3, 40)
    answers = [one.run(None, {"x": x})[0].tobytes() for one in sessions]
    assert len(set(answers)) == 1


def test_runs_side_by_side_on_one_session_give_what_one_gives_alone(runner: Operators) -> None:
    random = np.random.default_rng(4)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((64, 400), (400, 64))]
    session = runner.session(graph("Int16FeedForward", weights, ["x"], {"activation": 1}), "", 2)
    inputs = [random.normal(size=(rows, 64)).astype(np.float32) for rows in (1, 7, 60, 200)] * 10
    alone = [session.run(None, {"x": x})[0].tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: session.run(None, {"x": x})[0].tobytes(), inputs))
    assert together == alone


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (library.KERNEL, "sse", "app.operators.kernel names none of this processor's"),
        (library.KERNEL, "a-name-longer-than-any", "names none"),
        ("app.operators.threads", "0", "has to be between 1 and 1024"),
        ("app.operators.threads", "many", "has to be between 1 and 1024"),
    ],
)
def test_a_session_is_refused_with_words(
    runner: Operators, key: str, value: str, line: str
) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(key, value)
    with pytest.raises(Exception, match=line):
        options.register_custom_ops_library(str(runner.path))


W = np.ones((40, 40), np.float32)


@pytest.mark.parametrize(
    ("operator", "constants", "attributes", "line"),
    [
        ("Int16Linear", [W], {"limit": 0}, "limit has to be between 1 and 16383"),
        ("Int16Linear", [W], {"limit": 16384}, "limit has to be between 1 and 16383"),
        ("Int16Linear", [W], {"limit": 1 << 40}, "limit has to be between 1 and 16383"),
        ("Int16Linear", [W], {"block": 31}, "block has to be between 32 and 384"),
        ("Int16Linear", [W], {"block": 48}, "block has to be a multiple of 32"),
        ("Int16Linear", [W], {"activation": 4}, "activation has to be between 0 and 3"),
        ("Int16Linear", [W] * 4, {"parts": 4}, "parts has to be between 1 and 3"),
        ("Int16Linear", [W], {"parts": 2}, "number of inputs does not fit"),
        ("Int16Linear", [W], {"bias": 1}, "number of inputs does not fit"),
        ("Int16Linear", [W], {"residual": 1}, "number of inputs does not fit"),
        ("Int16Linear", [W, W], {"parts": 2, "activation": 1}, "one of several, or has a residual"),
        ("Int16Linear", [W, ONES[:9]], {"parts": 2}, "weights are empty, or differ in depth"),
        ("Int16Linear", [np.ones((0, 8), np.float32)], {}, "weights are empty"),
        ("Int16Linear", [W[0]], {}, "weights have two axes"),
        ("Int16Linear", [W, W[0][:7]], {"bias": 1}, "bias has another width"),
        ("Int16Linear", [W * np.float32(np.nan)], {}, "a weight is not a finite number"),
        ("Int16Linear", [W * np.float32(np.inf)], {}, "a weight is not a finite number"),
        ("Int16FeedForward", [W, W], {"gate": 3}, "gate has to be between 0 and 2"),
        ("Int16FeedForward", [W, W], {"gate": 1}, "number of inputs does not fit"),
        ("Int16FeedForward", [ONES[:, :23], W], {"gate": 2}, "odd width cannot be halved"),
        ("Int16FeedForward", [ONES, W], {}, "another depth than the others have columns"),
        ("Int16FeedForward", [W, W], {"gate": 2}, "another depth than the others have columns"),
    ],
)
def test_a_node_that_is_wrong_is_refused_with_words(
    runner: Operators, operator: str, constants: list[Floats], attributes: dict[str, Any], line: str
) -> None:
    with pytest.raises(Exception, match=line):
        runner.session(graph(operator, constants, ["x"], attributes))


def test_weights_that_are_not_constant_are_refused(runner: Operators) -> None:
    with pytest.raises(Exception, match="weights and biases have to be constant"):
        runner.session(graph("Int16Linear", [], ["x", "weights"], {}))


def test_inputs_that_do_not_fit_are_refused_and_the_session_goes_on(runner: Operators) -> None:
    session = runner.session(graph("Int16Linear", [ONES], ["x", "residual"], {"residual": 1}))
    x, residual = np.ones((2, 40), np.float32), np.ones((2, 24), np.float32)
    for wrong, line in (
        ({"x": x[:, :39], "residual": residual}, "another width than the weights have rows"),
        ({"x": x[0, 0], "residual": residual}, "another width than the weights have rows"),
        ({"x": x, "residual": residual[:1]}, "another shape than the output"),
        ({"x": x, "residual": x}, "another shape than the output"),
        ({"x": x.reshape(1, 1, 1, 1, 1, 1, 1, 2, 40), "residual": residual}, "more than 8 axes"),
    ):
        with pytest.raises(Exception, match=line):
            session.run(None, {name: np.asarray(value) for name, value in wrong.items()})
    np.testing.assert_allclose(session.run(None, {"x": x, "residual": residual})[0], 41, rtol=1e-3)


@pytest.mark.parametrize("shape", [(0, 40), (3, 0, 40), (40,), (2, 1, 3, 40)])
def test_any_number_of_axes_and_of_rows(runner: Operators, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    [found] = runner.linear(x, [ONES], threads=2)
    assert found.shape == (*shape[:-1], 24)
    layer = runner.feed_forward(x, [ONES, np.ascontiguousarray(ONES.T)], residual=x, threads=2)
    assert layer.shape == shape
