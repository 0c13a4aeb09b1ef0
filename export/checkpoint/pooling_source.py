"""Pooling source: which pooling an embedding model gets, and what says so. Nothing is guessed."""

from dataclasses import dataclass
from pathlib import Path

from app.model.names import PoolingChoice
from export.checkpoint import kinds, model_card, published
from export.config.sentence_modules import SentenceModules

OPTION = "--pooling"


@dataclass(frozen=True, slots=True)
class Decision:
    """The pooling that replaces the one in the checkpoint's files, if any, and what says so."""

    choice: PoolingChoice | None
    source: str | None  # None: nothing says how to pool
    doubt: str | None = None  # why pooling is refused, unless the graph shows otherwise


def decide(
    choice: PoolingChoice | None,
    modules: SentenceModules,
    model_id: str,
    architecture: str,
    folder: Path,
) -> Decision:
    """Take the requested pooling, else that of the files, else the one published with the id."""
    if choice is None and modules.says_how_to_pool:
        return Decision(None, modules.pooling_file)
    original = published.original(model_id) if choice is None else None
    if original is not None:
        return Decision(original.pooling, f"published with {original.id}")
    doubt = None
    if not modules.says_how_to_pool:
        doubt = kinds.why_no_embedder(architecture, model_card.pipeline_tag(folder))
    if choice is not None:
        return Decision(choice, OPTION, doubt)
    return Decision(None, None, doubt or _nobody_says(architecture))


def _nobody_says(architecture: str) -> str:
    splade = "--pooling splade, " if architecture.endswith("MaskedLM") else ""
    return (
        "neither modules.json nor 1_Pooling/config.json is there to say how to pool: fetch them "
        f"too, or name what the model was trained with: {splade}--pooling cls (TEI's for BERT), "
        "--pooling mean (sentence-transformers' for any model) or --pooling last-token (usual for "
        "decoders) (POOLING=)"
    )
