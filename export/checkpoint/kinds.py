"""Kinds: whether a checkpoint embeds, embeds sparsely, classifies or reranks.

Rules follow TEI 1.9.3 (router/src/lib.rs) if it has one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.model.lookup import spellings
from app.model.names import Activation, PoolingChoice, Task, usual_activation
from export.config.documents import Document
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError
from export.weights import label_rows

CHOICES = tuple(spellings.POOLINGS)  # as the command line spells them
_LABELS = 2  # of a classifier whose config.json does not say how many, by transformers' rule
_GENERATORS = ("ForCausalLM", "LMHeadModel")
_EMBEDDER_TAGS = frozenset({"feature-extraction", "sentence-similarity"})
# A model card's words for other kinds of models, whose pooled vectors would mean nothing.
_OTHER_TAGS = frozenset(
    {
        "text-ranking",
        "text-classification",
        "token-classification",
        "zero-shot-classification",
        "question-answering",
        "text-generation",
    }
)


def chosen(option: str | None) -> PoolingChoice | None:
    """Return the pooling that a command-line option asks for, or None if the option is empty.

    Raises: ValueError saying what the option must be.
    """
    return spellings.pooling(option) if option else None


def architecture(config: Document) -> str:
    """Return the class that the weights are for: the first named classifier, or the first name.

    Raises: ExportError for a model without a name.
    """
    names = config.texts("architectures")
    if not names:
        raise ExportError("config.json names no `architectures`: the kind of model is unknown")
    return next((name for name in names if name.endswith("Classification")), names[0])


def brings_code(config: Document) -> bool:
    """Check whether the checkpoint names an implementation of its own, in Python."""
    return any(key.startswith("AutoModel") for key in config.value("auto_map", dict) or {})


def task(
    architecture: str,
    labels: Sequence[str],
    modules: SentenceModules,
    pooling: PoolingChoice | None,
) -> Task:
    """Return the kind of model; `pooling` replaces the checkpoint's own, and classifiers ignore it.

    Raises: ExportError for a kind that cannot be exported, with the reason.
    """
    if architecture.endswith("TokenClassification"):
        raise ExportError(
            f"architecture {architecture}: classifiers of tokens are not supported: choose a "
            "SequenceClassification model"
        )
    if architecture.endswith("Classification"):
        return "classifier" if len(labels) > 1 else "reranker"
    if modules.token_layers:
        if pooling is not None:
            raise ExportError(
                f"--pooling {pooling} is not possible: the model has a vector for each token, and "
                "pools none of them"
            )
        return "multi_vector"
    if "ColBERT" in architecture:
        raise ExportError(
            f"architecture {architecture} keeps its projection among the encoder's weights: save "
            "the model with PyLate, which gives it a module of its own, and export that folder"
        )
    if pooling == "splade" or (pooling is None and modules.splade is not None):
        return _splade(architecture)
    return "embedding"


def why_no_embedder(architecture: str, tag: str | None) -> str | None:
    """Say why a model is no embedding model, or return None; `tag` is the model card's word for it.

    Only for models whose own files do not describe an embedding model.
    """
    if tag in _OTHER_TAGS:
        what = f"the model card (README.md) calls it a model for {tag}"
    elif architecture.endswith(_GENERATORS) and tag not in _EMBEDDER_TAGS:
        what = f"{architecture} predicts the next token"
    else:
        return None
    return (
        f"{what}, and no modules.json says that it was trained to embed: pooled, its vectors would "
        "mean nothing; if it was, fetch its modules.json and 1_Pooling too"
    )


def names_labels(config: Document) -> bool:
    """Check whether config.json has `id2label`; without it transformers assumes two labels."""
    return bool(config.value("id2label", dict))


def labels(architecture: str, config: Document, folder: Path) -> tuple[str, ...]:
    """Return a classifier's labels, by position in its logits; () for other models.

    If config.json does not name them, they are counted in the weights in `folder`, and named as
    transformers names them.

    Raises: ExportError for labels or weights that cannot be read.
    """
    if not architecture.endswith("Classification"):
        return ()
    names: dict[str, Any] = config.value("id2label", dict) or {
        str(number): name for name, number in (config.value("label2id", dict) or {}).items()
    }
    count = len(names) or label_rows.count(folder) or config.value("num_labels", int) or _LABELS
    found = tuple(names.get(str(i), f"LABEL_{i}") for i in range(count))
    for name in found:
        if not isinstance(name, str):
            raise ExportError(f"config.json: id2label: {name!r} is not a string")
    return found


def activation(config: Document, labels: Sequence[str]) -> Activation | None:
    """Return the function that turns a classifier's logits into scores; None for other models.

    The rule is that of transformers 4.57 (pipelines/text_classification.py). Its case for
    `function_to_apply` of config.json is never reached if a model has labels.

    Raises: ExportError for a problem that transformers does not know.
    """
    if not labels:
        return None
    match config.value("problem_type", str):
        case "regression":
            return "none"
        case "multi_label_classification":
            return "sigmoid"
        case None | "single_label_classification":
            return usual_activation(len(labels))
        case other:
            raise ExportError(
                f"config.json: problem_type: {other!r} is none of regression, "
                "single_label_classification and multi_label_classification"
            )


def _splade(architecture: str) -> Task:
    if not architecture.endswith("MaskedLM"):
        raise ExportError(
            f"splade pooling is not supported: {architecture} is not a ForMaskedLM model; choose "
            "another pooling with --pooling (POOLING=)"
        )
    return "splade"
