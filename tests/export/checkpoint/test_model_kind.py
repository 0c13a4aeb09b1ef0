"""Model kind: derived from the files of a checkpoint."""

from pathlib import Path

import pytest

from app.model.names import PoolingChoice
from export.checkpoint import model_kind
from export.config import sentence_modules
from export.config.documents import Document
from export.errors import ExportError
from tests.support.tiny_checkpoints import write_json


def find(
    folder: Path, model_id: str = "", choice: PoolingChoice | None = None, **config: object
) -> model_kind.ModelKind:
    """Return the kind of a checkpoint without `modules.json`."""
    write_json(folder / "config.json", config)
    read = Document.read(folder / "config.json")
    return model_kind.find(folder, read, sentence_modules.read(folder), choice, model_id)


@pytest.mark.parametrize(
    ("architecture", "labels", "task"),
    [
        ("BertForMaskedLM", {}, "embedding"),  # its head is one for training
        ("BertForSequenceClassification", {"0": "one"}, "reranker"),
        ("BertForSequenceClassification", {"0": "one", "1": "two"}, "classifier"),
        ("BertModel", {}, "embedding"),
    ],
)
def test_the_architecture_and_the_labels_say_what_it_is(
    tmp_path: Path, architecture: str, labels: dict[str, str], task: str
) -> None:
    found = find(tmp_path, architectures=[architecture], id2label=labels)
    assert (found.task, found.labels, found.scored) == (task, tuple(labels.values()), None)


def test_a_masked_language_model_is_splade_where_that_is_asked_for(tmp_path: Path) -> None:
    assert find(tmp_path, choice="splade", architectures=["BertForMaskedLM"]).task == "splade"
    with pytest.raises(ExportError, match="BertModel is not a ForMaskedLM model"):
        find(tmp_path, choice="splade", architectures=["BertModel"])


def test_an_embedder_whose_pooling_is_published_nowhere_is_in_doubt(tmp_path: Path) -> None:
    known = find(tmp_path, "sentence-transformers/all-MiniLM-L6-v2", architectures=["BertModel"])
    unknown = find(tmp_path, "org/unknown", architectures=["BertModel"])
    assert known.decision.doubt is None or known.decision.choice is not None
    assert unknown.decision.doubt is not None


def test_a_model_without_an_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="architectures"):
        find(tmp_path, architectures=[])
