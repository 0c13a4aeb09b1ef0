"""Pooling option: which --pooling an exported model can still be served with."""

import logging
from pathlib import Path

from app.errors import StartupError
from app.model.lookup.spellings import export_command
from app.model.manifest import FILE_NAME, Manifest
from app.model.names import POOLED_OUTPUTS, SENTENCE_EMBEDDING, TASK_OUTPUTS, PoolingChoice
from app.options.settings import Settings

logger = logging.getLogger(__name__)


def require_pooling(settings: Settings, manifest: Manifest) -> None:
    """Refuse a change of pooling that only an export can make: from SPLADE, or to it.

    Raises: StartupError with the command for it.
    """
    asked = settings.pooling
    if asked is None or manifest.task not in {"embedding", "splade"}:
        return
    if (asked == "splade") != (manifest.task == "splade"):
        is_exported = (Path(settings.model_id) / FILE_NAME).is_file()
        name = manifest.source.id if is_exported else settings.model_id
        command = export_command(name, settings.revision, asked, settings.dtype)
        was = manifest.pooling or manifest.task
        raise StartupError(
            f"--pooling {asked.replace('_', '-')}: the model was exported with {was} pooling; "
            f"leave the option out, or run: {command}"
        )


def output_for(manifest: Manifest, pooling: PoolingChoice | None) -> str:
    """Return the graph output to read embeddings from, for the pooling asked for at start."""
    if manifest.task != "embedding":
        if pooling not in {None, manifest.task}:
            logger.warning(
                "--pooling %s has no effect: a %s does not pool tokens", pooling, manifest.task
            )
        return TASK_OUTPUTS[manifest.task]
    if pooling is None or pooling == manifest.pooling:
        return SENTENCE_EMBEDDING
    output = POOLED_OUTPUTS[pooling] if pooling != "splade" else TASK_OUTPUTS[pooling]
    if manifest.routes or all(output not in graph.outputs for graph in manifest.graphs):
        raise StartupError(
            f"--pooling {pooling} is not possible: the model's vectors are more than one pooling "
            f"of its tokens (its own is {manifest.pooling})"
        )
    logger.warning(
        "--pooling %s: the model's own pooling is %s; what is served is not proved",
        pooling,
        manifest.pooling,
    )
    return output
