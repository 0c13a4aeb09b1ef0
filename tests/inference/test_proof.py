from pathlib import Path

import numpy as np
import pytest

from app.inference.batch import Batch, BatchLimits
from app.inference.manifest import Manifest, Padding
from app.inference.proof import Probes, ProbesError, replay
from app.inference.providers import Wanted
from app.inference.session import Session, plans
from tests import tiny

ANY = BatchLimits(16384)


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


def test_some_probes_are_spread_over_all(probes: Probes) -> None:
    assert probes.take(3).texts == (tiny.PROBE_TEXTS[0], tiny.PROBE_TEXTS[3], tiny.PROBE_TEXTS[-1])
    assert len(probes.take(100)) == len(probes)


def test_a_right_session_agrees(tiny_model: Path, probes: Probes) -> None:
    manifest = Manifest.read(tiny_model)
    [plan] = plans(Wanted("cpu", threads=1), manifest.task)
    session = Session.load(tiny_model, manifest, plan)
    assert replay(session, probes, manifest.padding, ANY).worst_cosine > 0.999999


def test_probes_run_in_the_shapes_that_are_served(probes: Probes) -> None:
    shapes: list[tuple[int, ...]] = []

    class Watched:
        def run(self, batch: Batch, outputs: object) -> dict[str, np.ndarray]:
            del outputs
            shapes.append(batch.input_ids.shape)
            return {"sentence_embedding": np.ones((len(batch.input_ids), 16), np.float32)}

    limits = BatchLimits(max_tokens=24, lengths=(4, 8, 12), row_counts=(1, 2, 4))
    replay(Watched(), probes, Padding(0, 0, "right"), limits)
    assert set(shapes) <= set(limits.shapes())
    assert sum(rows for rows, _ in shapes) == 2 * len(probes)
    assert max(rows for rows, _ in shapes) > 1


def test_a_graph_that_counts_padding_is_found_out(tiny_model: Path, probes: Probes) -> None:
    class Careless:
        """Right for a text alone, wrong beside a longer one."""

        def run(self, batch: Batch, outputs: object) -> dict[str, np.ndarray]:
            del outputs
            return {
                "sentence_embedding": np.stack([tiny.reference(row) for row in batch.input_ids])
            }

    padding = Manifest.read(tiny_model).padding
    assert replay(Careless(), probes.take(1), padding, ANY).worst_cosine > 0.999999
    assert replay(Careless(), probes, padding, ANY).worst_cosine < 0.99
