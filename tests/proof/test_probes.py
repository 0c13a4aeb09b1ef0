"""Probes: the limits of their file, and which of them are used."""

from pathlib import Path

import numpy as np
import pytest

from app.model.manifest import Manifest
from app.proof.probes import Probes, ProbesError
from tools import tiny


@pytest.fixture
def probes(tiny_model: Path) -> Probes:
    return Probes.read(tiny_model / "probes.npz")


def test_probes_survive_their_file(probes: Probes, tmp_path: Path) -> None:
    probes.write(tmp_path / "again.npz")
    again = Probes.read(tmp_path / "again.npz")
    assert again.texts == tiny.PROBE_TEXTS
    np.testing.assert_array_equal(again.vectors, probes.vectors)
    for before, after in zip(probes.inputs, again.inputs, strict=True):
        np.testing.assert_array_equal(before.input_ids, after.input_ids)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04pickled"])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "probes.npz").write_bytes(content)
    with pytest.raises(ProbesError, match=r"probes\.npz cannot be read"):
        Probes.read(tmp_path / "probes.npz")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "probes.npz", texts=objects, lengths=objects, vectors=objects)
    with pytest.raises(ProbesError, match="allow_pickle"):
        Probes.read(tmp_path / "probes.npz")


def test_damaged_probes_are_read_or_named_whatever_is_damaged(
    tiny_model: Path, tmp_path: Path
) -> None:
    content = (tiny_model / "probes.npz").read_bytes()
    random = np.random.default_rng(13)
    path = tmp_path / "probes.npz"
    named = 0
    for place in random.integers(len(content), size=400):
        changed = bytearray(content)
        changed[place] = random.integers(256)
        path.write_bytes(changed)
        try:
            Probes.read(path)
        except ProbesError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  # either may happen
            named += 1
    assert named > 200


@pytest.mark.parametrize(
    "changes",
    [
        {"lengths": np.array([-1, 8])},
        {"lengths": np.array([1.5])},
        {"lengths": np.array([[1]])},
        {"input_ids": np.array([1])},
        {"texts": np.frombuffer(b"5", np.uint8)},
        {"texts": np.frombuffer(b"[[[]]]", np.uint8)},
        {"texts": np.frombuffer(b"[1, 2, 3, 4, 5, 6, 7]", np.uint8)},
        {"texts": np.frombuffer(b'["a", ["b", 5], 3, 4, 5, 6, 7]', np.uint8)},
        {"texts": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"texts": np.zeros(3)},
        {"token_type_ids": np.zeros(2, np.int64)},
        {"token_type_ids": np.array(["x"])},
        {"input_ids": np.array(["x"])},
        {"lengths": np.array([2**62, 2**62, 2**62, 2**62])},
        {"vectors": np.zeros((7, 2, 3), np.float32)},
        {"vectors": np.zeros((7, 16))},
        {"vectors": np.full((7, 16), "x")},
        {"vectors": np.zeros((7, 16), np.complex64)},
        {"vectors": np.float32(1)},
        {"prompts": np.frombuffer(b'["a"]', np.uint8)},
        {"prompts": np.frombuffer(b"[1, 2, 3, 4, 5, 6, 7]", np.uint8)},
        {"prompt_lengths": np.full(7, 1000)},
        {"prompt_lengths": np.full(7, -1)},
        {"prompt_lengths": np.zeros(7)},
        {"lexical_weights": np.zeros((3, 4), np.float32)},
        {"lexical_weights": np.full(39, "x")},
        {"multi_vector_embedding": np.zeros(26, np.float32)},
    ],
)
def test_probes_that_do_not_fit_together_are_named(
    tiny_model: Path, tmp_path: Path, changes: dict[str, np.ndarray]
) -> None:
    with np.load(tiny_model / "probes.npz") as stored:
        np.savez(tmp_path / "probes.npz", **{**stored, **changes})
    with pytest.raises(ProbesError, match=r"probes\.npz") as refusal:
        Probes.read(tmp_path / "probes.npz")
    assert "\n" not in str(refusal.value)


def test_no_probes_are_too_few(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "probes.npz",
        texts=np.frombuffer(b"[]", np.uint8),
        lengths=np.zeros(0, np.int64),
        input_ids=np.zeros(0, np.int64),
        vectors=np.zeros((0, 16), np.float32),
    )
    with pytest.raises(ProbesError, match=r"probes\.npz"):
        Probes.read(tmp_path / "probes.npz")


def test_some_probes_are_spread_over_all(probes: Probes) -> None:
    assert probes.take(3).texts == (tiny.PROBE_TEXTS[0], tiny.PROBE_TEXTS[3], tiny.PROBE_TEXTS[-1])
    assert len(probes.take(100)) == len(probes)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A model with lexical weights and token vectors beside its dense vectors."""
    tiny.build(tmp_path / "whole", whole=True)
    return tmp_path / "whole"


def test_answers_for_tokens_follow_the_probes_that_are_taken(whole: Path) -> None:
    probes = Probes.read(whole / "probes.npz", Manifest.read(whole).token_outputs)
    some = probes.take(3)
    ids = [one.input_ids for one in some.inputs]
    weights = np.concatenate([tiny.lexical_weights(one) for one in ids])
    np.testing.assert_allclose(some.token_answers["lexical_weights"], weights)
    longest = max(ids, key=len)
    vectors = some.token_answers["multi_vector_embedding"]
    assert len(vectors) < sum(map(len, ids))  # only some vectors of a long text are kept
    first = sum(min(len(one), 4) for one in ids[:1])
    assert len(longest) > 4
    np.testing.assert_allclose(vectors[0], tiny.multi_vectors(ids[0])[0], atol=1e-6)
    np.testing.assert_allclose(vectors[first - 1], tiny.multi_vectors(ids[0])[-1], atol=1e-6)
    np.testing.assert_allclose(vectors[-1], tiny.multi_vectors(ids[-1])[-1], atol=1e-6)
