"""Model kind: what the files of a checkpoint say that it is, and how it pools."""

from dataclasses import dataclass
from pathlib import Path

from app.model.names import PoolingChoice, Task
from export.checkpoint import causal, kinds, pooling_source
from export.checkpoint.causal import Causal
from export.checkpoint.pooling_source import Decision
from export.config.documents import Document
from export.config.sentence_modules import SentenceModules

_ONE_LABEL = ("LABEL_0",)  # transformers' name for it, of a model without labels


@dataclass(frozen=True, slots=True)
class ModelKind:
    """The kind of model that the files describe."""

    task: Task
    labels: tuple[str, ...]
    scored: Causal | None  # if it scores a pair by its next token
    decision: Decision  # on how to pool


def find(
    folder: Path,
    config: Document,
    modules: SentenceModules,
    choice: PoolingChoice | None,
    model_id: str,
) -> ModelKind:
    """Find the kind of model; `choice` replaces its pooling, `model_id` may be known for its own.

    Raises: ExportError if the files contradict each other, or the choice.
    """
    architecture = kinds.architecture(config)
    scored = causal.find(folder, config, modules, model_id or folder.resolve().name)
    if scored is not None:
        causal.refuse_pooling(scored, choice)
        decision = pooling_source.decide(choice, modules, "", architecture, folder)
        return ModelKind("reranker", _ONE_LABEL, scored, decision)
    labels = kinds.labels(architecture, config, folder / modules.encoder)
    decision = pooling_source.decide(
        choice, modules, "" if labels else model_id, architecture, folder
    )
    task = kinds.task(architecture, labels, modules, decision.choice)
    return ModelKind(task, labels, None, decision)
