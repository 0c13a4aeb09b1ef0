"""The verdict of the soak: what counts as a leak, a loss or a wrong answer, and what does not."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.batch import TokenizedInput
from app.proof.probes import Probes
from tools.soak.client import Answer
from tools.soak.plot import draw
from tools.soak.record import Record, Sample, grown
from tools.soak.traffic import BAD_BODIES, Request, Traffic

MB = 1e6


def record(resident: NDArray[np.float64] | list[float], **changes: int) -> Record:
    """Return a sound soak, but for its memory and the given changes."""
    samples = [
        Sample(at, int(size), changes.get("files", 9), 8, 0.01, 0.1, Counter(answered=5))
        for at, size in enumerate(resident)
    ]
    return Record(samples, idle_files=9, left_files=changes.get("left", 9))


def warmed_up(seconds: int) -> NDArray[np.float64]:
    """Return the memory of a sound server: a steep start, a plateau, noise, and a passing peak."""
    noise = np.random.default_rng(0).normal(0, 3 * MB, seconds)
    memory = 300 * MB - 60 * MB * np.exp(-np.arange(seconds) / (seconds / 12)) + noise
    memory[seconds // 2 : seconds // 2 + seconds // 15] += 100 * MB
    return np.asarray(memory)


@pytest.mark.parametrize("seconds", [60, 600, 3600])
def test_a_plateau_with_noise_and_a_peak_is_no_leak(seconds: int) -> None:
    assert record(warmed_up(seconds)).verdict() == []


@pytest.mark.parametrize("seconds", [60, 600, 3600])
def test_memory_that_keeps_growing_is_a_leak(seconds: int) -> None:
    leak = np.linspace(0, 50 * MB, seconds)
    [fault] = record(warmed_up(seconds) + leak).verdict()
    assert fault.startswith("memory leaks: it grew by ")


def test_growth_is_that_after_the_warm_up() -> None:
    assert grown(np.array([0.0] * 4 + [100, 101, 102, 103, 104, 105])) == pytest.approx(5)
    assert grown(np.array([5.0])) == 0


def test_a_small_server_may_grow_by_a_little() -> None:
    assert record(np.linspace(50 * MB, 55 * MB, 100)).verdict() == []


@pytest.mark.parametrize(("made", "faults"), [(3, []), (4, ["threads leak: 8 became 12"])])
def test_a_pool_may_start_a_few_threads_late(made: int, faults: list[str]) -> None:
    found = record([MB] * 8)
    found.samples[-1] = replace(found.samples[-1], threads=8 + made)
    assert found.verdict() == faults


def test_files_that_stay_open_are_a_leak() -> None:
    assert record([MB] * 9, left=10).verdict() == ["files leak: 9 became 10"]


def test_a_single_lost_request_fails_the_soak() -> None:
    sound = record([MB] * 9)
    sound.faults.append("after 3 s, /embed: lost")
    assert sound.verdict() == ["after 3 s, /embed: lost"]


def test_a_soak_without_an_answer_proves_nothing() -> None:
    assert Record().verdict() == ["no request was answered"]


def test_the_first_of_many_faults_are_shown() -> None:
    sound = record([MB] * 9)
    sound.faults += ["one"] * 30
    assert sound.verdict()[-1] == "and 10 faults more"


@pytest.fixture
def traffic() -> Traffic:
    vectors = np.eye(8, dtype=np.float32)
    inputs = tuple(TokenizedInput(np.array([1])) for _ in vectors)
    return Traffic(Probes(tuple(map(str, range(8))), inputs, vectors), seed=1)


def known(traffic: Traffic) -> tuple[Request, NDArray[np.float32]]:
    """A request whose vectors are known, and those."""
    request = traffic.known()
    texts = json.loads(request.content.split(b"\r\n\r\n", 1)[1])["inputs"]
    return request, np.eye(8, dtype=np.float32)[list(map(int, texts))]


def test_a_wrong_vector_is_a_fault(traffic: Traffic) -> None:
    request, vectors = known(traffic)

    def answer(found: NDArray[np.float32]) -> Answer:
        content = json.dumps(found.tolist()).encode()
        return Answer(200, {"x-compute-dtype": "float32"}, content)

    assert request.fault_of(answer(vectors)) is None
    assert "wrong vector" in str(request.fault_of(answer(np.roll(vectors, 1, axis=1))))
    assert "vectors of shape" in str(request.fault_of(answer(vectors[:, :4])))


def test_an_unexpected_status_is_a_fault(traffic: Traffic) -> None:
    request, _ = known(traffic)
    assert "status 500" in str(request.fault_of(Answer(500, {}, b"")))
    assert "Retry-After" in str(request.fault_of(Answer(429, {}, b"")))
    assert request.fault_of(Answer(429, {"retry-after": "1"}, b"")) is None


def test_an_answer_that_cannot_be_read_is_a_fault(traffic: Traffic) -> None:
    request, _ = known(traffic)
    answer = Answer(200, {"x-compute-dtype": "float32"}, b"[[1,")
    assert "cannot be read" in str(request.fault_of(answer))


def test_every_kind_of_request_is_made(traffic: Traffic) -> None:
    names = {traffic.next().name for _ in range(2000)}
    assert {f"bad {path}" for path, _, _ in BAD_BODIES} < names
    assert {"/embed", "/embed_all", "/similarity", "/v1/embeddings", "/tokenize"} < names


def test_the_picture_is_drawn_twice(tmp_path: Path) -> None:
    place = tmp_path / "soak"
    draw(record(warmed_up(60)), "a title", place)
    assert place.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in place.with_suffix(".svg").read_text()
