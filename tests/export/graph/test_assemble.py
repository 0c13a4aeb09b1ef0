"""The graph around a head: its inputs, axes, outputs and weights, and what is refused."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app.model.manifest import GRAPH_FILE
from app.model.names import (
    POOLED_OUTPUTS,
    SENTENCE_EMBEDDING,
    TOKEN_EMBEDDINGS,
)
from export.config.layers import Head
from export.errors import ExportError
from export.graph import heads
from tests.support.encoders import TABLE, encoder, pad, run


def test_position_ids_count_real_tokens_under_left_padding(tmp_path: Path) -> None:
    inputs, _ = heads.graft(
        encoder(tmp_path, inputs=("position_ids",)), tmp_path, Head(("last_token",))
    )
    assert inputs == ("input_ids", "attention_mask")
    ids, mask = pad([2, 4], "left")
    tokens = run(tmp_path, ids, mask)[TOKEN_EMBEDDINGS]
    positions = np.array([[0, 0, 0, 1], [0, 1, 2, 3]], np.float32)
    np.testing.assert_allclose(tokens, TABLE[ids] + positions[:, :, None], atol=1e-6)


def test_axes_are_named_and_outputs_declared_in_order(tmp_path: Path) -> None:
    _, outputs = heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    assert outputs == (TOKEN_EMBEDDINGS, SENTENCE_EMBEDDING, *POOLED_OUTPUTS.values())
    session = onnxruntime.InferenceSession(tmp_path / GRAPH_FILE)
    assert [item.shape for item in session.get_inputs()] == [["batch", "sequence"]] * 2
    assert session.get_outputs()[0].shape == ["batch", "sequence", 8]
    assert {tuple(item.shape) for item in session.get_outputs()[1:]} == {("batch", 8)}


def test_weights_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    assert (tmp_path / "model.onnx.data").stat().st_size >= TABLE.nbytes
    assert (tmp_path / GRAPH_FILE).stat().st_size < 8 * TABLE.nbytes


def test_graph_with_an_unknown_input_is_refused(tmp_path: Path) -> None:
    source = encoder(tmp_path, inputs=("bbox",))
    with pytest.raises(ExportError, match="asks for bbox: not supported"):
        heads.graft(source, tmp_path, Head(("cls",)))


def test_graph_with_another_output_is_refused(tmp_path: Path) -> None:
    source = encoder(tmp_path, output="logits")
    with pytest.raises(ExportError, match="yields logits instead of last_hidden_state"):
        heads.graft(source, tmp_path, Head(("cls",)))
