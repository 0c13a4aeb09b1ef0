from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import BackendFailed
from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.model.batch import Batch, BatchLimits
from app.model.manifest import PROBES_FILE, Manifest
from app.model.names import Activation
from app.model.parts import Padding
from app.model.vectors import scores
from app.proof.bounds import figure, is_proved
from app.proof.probes import Probes, ProbesError
from app.proof.replay import replay, replay_model
from tools import tiny

ANY = BatchLimits(16384)


@pytest.fixture
def probes(tiny_model: Path) -> Probes:
    return Probes.read(tiny_model / "probes.npz")


def test_a_right_session_agrees(tiny_model: Path, probes: Probes) -> None:
    manifest = Manifest.read(tiny_model)
    [plan] = plans(ProviderRequest("cpu", "float32", threads=1), manifest.task)
    session = Session.load(tiny_model, manifest, plan)
    assert replay(session, probes, manifest.padding, ANY).worst_cosine > 0.999999


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A model with lexical weights and token vectors beside its dense vectors."""
    tiny.build(tmp_path / "whole", whole=True)
    return tmp_path / "whole"


def session_of(folder: Path) -> Session:
    manifest = Manifest.read(folder)
    [plan] = plans(ProviderRequest("cpu", "float32", threads=1), manifest.task)
    return Session.load(folder, manifest, plan)


def test_outputs_for_tokens_are_proved_too(whole: Path) -> None:
    probes = Probes.read(whole / "probes.npz")
    found = replay(session_of(whole), probes, Manifest.read(whole).padding, ANY)
    assert min(found.worst_cosine, found.token_cosine or 0, found.lexical_cosine or 0) > 0.999999
    assert found.lexical_error is not None
    assert found.lexical_error < 1e-6


@pytest.mark.parametrize("output", ["lexical_weights", "multi_vector_embedding"])
def test_one_wrong_answer_for_a_token_is_found_out(whole: Path, output: str) -> None:
    probes = Probes.read(whole / "probes.npz")
    answers = {name: values.copy() for name, values in probes.token_answers.items()}
    answers[output][3] = -1 - answers[output][3]
    wrong = replace(probes, token_answers=answers)
    found = replay(session_of(whole), wrong, Manifest.read(whole).padding, ANY)
    assert found.worst_cosine > 0.999999
    assert not is_proved("embedding", "float32", found)
    assert min(found.token_cosine or 0, found.lexical_cosine or 0) < 0.999


@pytest.mark.parametrize("activation", [None, "sigmoid", "none"])
def test_scores_are_compared_as_the_model_makes_them(
    tmp_path: Path, activation: Activation | None
) -> None:
    manifest = replace(tiny.build(tmp_path, "classifier"), activation=activation)
    probes = Probes.read(tmp_path / PROBES_FILE)
    off = replace(probes, vectors=probes.vectors + np.array([1, 0, 0], np.float32))
    found = replay_model(session_of(tmp_path), manifest, off, ANY)
    by = activation or "softmax"
    difference = scores(off.vectors, by) - scores(probes.vectors, by)
    assert found.largest_score_error == pytest.approx(np.abs(difference).max(), abs=1e-5)


def test_sparse_vectors_of_another_length_are_found_out(tmp_path: Path) -> None:
    """No cosine shows it, so they are compared by their products."""
    manifest = tiny.build(tmp_path, "splade")
    probes = Probes.read(tmp_path / PROBES_FILE)
    right = replay_model(session_of(tmp_path), manifest, probes, ANY)
    assert right.length_error == pytest.approx(0, abs=1e-6)
    assert is_proved("splade", "float32", right)
    scaled = replace(probes, vectors=probes.vectors * np.float32(1.001))
    wrong = replay_model(session_of(tmp_path), manifest, scaled, ANY)
    assert wrong.worst_cosine > 0.999999
    assert wrong.length_error == pytest.approx(0.001, rel=0.01)
    assert not is_proved("splade", "float32", wrong)
    assert figure("splade", wrong).endswith("a length off by 0.1%")
    assert is_proved("splade", "bfloat16", wrong)


def test_a_model_of_token_vectors_is_judged_by_them(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, "multi_vector")
    probes = Probes.read(tmp_path / "probes.npz", manifest.token_outputs)
    output = "multi_vector_embedding"
    found = replay(session_of(tmp_path), probes, manifest.padding, ANY, output)
    assert is_proved("multi_vector", "float32", found)
    wrong = replace(probes, token_answers={output: -probes.token_answers[output]})
    found = replay(session_of(tmp_path), wrong, manifest.padding, ANY, output)
    assert found.worst_cosine < -0.999999


def test_probes_that_lack_answers_for_tokens_are_named(tiny_model: Path, whole: Path) -> None:
    with pytest.raises(ProbesError, match=r"probes\.npz holds no lexical_weights"):
        Probes.read(tiny_model / "probes.npz", Manifest.read(whole).token_outputs)
    probes = Probes.read(whole / "probes.npz")
    short = {name: values[1:] for name, values in probes.token_answers.items()}
    replace(probes, token_answers=short).write(whole / "probes.npz")
    with pytest.raises(ProbesError, match=r"holds lexical_weights of \d+ tokens, not of \d+"):
        Probes.read(whole / "probes.npz")


def test_answers_for_tokens_of_another_width_are_named(whole: Path) -> None:
    probes = Probes.read(whole / "probes.npz")
    vectors = probes.token_answers["multi_vector_embedding"]
    wide = {**probes.token_answers, "multi_vector_embedding": np.tile(vectors, 2)}
    shapes = r"multi_vector_embedding of shape \(\d+, 12\), the model yields \(\d+, 6\)"
    with pytest.raises(ProbesError, match=rf"probes\.npz holds {shapes}"):
        replay(
            session_of(whole),
            replace(probes, token_answers=wide),
            Manifest.read(whole).padding,
            ANY,
        )


def test_a_graph_whose_answers_have_no_row_for_each_input_fails(probes: Probes) -> None:
    class Flat:
        def run(self, batch: Batch, outputs: object) -> dict[str, np.ndarray]:
            del batch, outputs
            return {"sentence_embedding": np.zeros(16, np.float32)}

    with pytest.raises(BackendFailed, match=r"sentence_embedding has shape \(16,\) for 7 inputs"):
        replay(Flat(), probes, Padding(0, 0, "right"), ANY)


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
        """A session that is right for a text alone and wrong beside a longer one."""

        def run(self, batch: Batch, outputs: object) -> dict[str, np.ndarray]:
            del outputs
            return {
                "sentence_embedding": np.stack([tiny.reference(row) for row in batch.input_ids])
            }

    padding = Manifest.read(tiny_model).padding
    assert replay(Careless(), probes.take(1), padding, ANY).worst_cosine > 0.999999
    assert replay(Careless(), probes, padding, ANY).worst_cosine < 0.99
