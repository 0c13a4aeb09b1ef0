"""Memory: a session frees what it took, also if its creation failed."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.operators import Operators, graph, interleaved

PAGE = os.sysconf("SC_PAGE_SIZE")
SIDE = 1024
SESSIONS = 40
MOST = SESSIONS // 2 * 2 * SIDE * SIDE  # bytes: the packed weights of half of the sessions


def resident() -> int:
    """Return the resident bytes of this process, without what the C library keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def growth(runner: Operators, model: bytes, *, fails: str = "") -> int:
    """Return the growth of memory after the first quarter of the sessions."""
    before = 0
    for i in range(SESSIONS):
        if fails:
            with pytest.raises(Exception, match=fails):
                runner.session(model)
        else:
            runner.session(model)
        if i == SESSIONS // 4:
            before = resident()
    return resident() - before


def test_a_session_gives_its_weights_back(runner: Operators) -> None:
    weights = np.ones((SIDE, SIDE), np.float32)
    model = graph(interleaved([weights, weights]), feed_forward=1, activation=1)
    assert growth(runner, model) < MOST


def test_a_node_that_is_refused_half_made_gives_its_weights_back(runner: Operators) -> None:
    weights = np.ones((SIDE, SIDE), np.float32)
    wrong = np.ones((SIDE, SIDE - 1), np.float32)  # found when both are packed
    model = graph(interleaved([wrong, weights]), feed_forward=1, activation=1)
    assert growth(runner, model, fails="do not fit each other") < MOST


def test_a_weight_that_is_found_wrong_last_gives_the_others_back(runner: Operators) -> None:
    weights = np.ones((SIDE, SIDE), np.float32)
    weights[-1, -1] = np.nan
    model = graph(interleaved([weights]))
    assert growth(runner, model, fails="not a finite number") < MOST


def test_sessions_of_one_model_share_its_weights(runner: Operators) -> None:
    model, model_bytes = graph(interleaved([np.ones((SIDE, SIDE), np.float32)])), 4 * SIDE * SIDE
    sessions = [runner.session(model)]
    before = resident()
    sessions += [runner.session(model) for _ in range(SESSIONS)]
    graphs = SESSIONS * model_bytes  # which ONNX Runtime keeps
    assert resident() - before < graphs + MOST
    x = np.ones((3, SIDE), np.float32)
    answers = {one.run(None, {"x": x})[0].tobytes() for one in sessions}
    sessions = sessions[1:2]  # the first one may go
    assert answers == {sessions[0].run(None, {"x": x})[0].tobytes()}


def test_weights_that_differ_in_a_bias_are_not_shared(runner: Operators) -> None:
    weights, x = np.ones((8, 8), np.float32), np.zeros((1, 8), np.float32)
    biases = [np.full(8, value, np.float32) for value in (1, 2, 1)]
    sessions = [runner.session(graph([weights, bias])) for bias in biases]
    found = [one.run(None, {"x": x})[0][0, 0] for one in sessions]
    assert found == [1, 2, 1]
