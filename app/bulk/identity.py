"""Identity: the facts that define a job's vectors; a resumed job must have the same."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app import __version__
from app.bulk.options import BulkOptions
from app.inference.admission import InputOptions
from app.inference.served_model import ServedModel

# The option that chooses each fact; an option that changes vectors must be one of these.
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "inputs": "INPUT",
        "text_column": "--text-column",
        "id_column": "--id-column",
        "format": "--output-format",
        "shard_rows": "--shard-rows",
        "model": "--model-id",
        "revision": "--revision",
        "fingerprint": "--model-id, --revision, --onnx-file",
        "compute_dtype": "--dtype, --provider",
        "pooling": "--pooling",
        "prompt": "--default-prompt, --default-prompt-name",
        "route": "--default-prompt-name",
        "max_input_length": "--max-batch-tokens",
        "auto_truncate": "--auto-truncate",
        "dtype": "--output-dtype",
        "dimensions": "--dimensions",
        "normalized": "--normalize",
    }
)


def described(options: BulkOptions, model: ServedModel) -> Mapping[str, Any]:
    """Return what a resumed job must have in common with the one that began."""
    return {
        "inputs": [str(path.resolve()) for path in options.inputs],
        "text_column": options.columns.text,
        "id_column": options.columns.id,
        "format": options.format,
        "shard_rows": options.shard_rows,
        **metadata(options, model),
    }


def metadata(options: BulkOptions, model: ServedModel) -> dict[str, str]:
    """Return what a reader of the vectors must know, of a model that can compute a plain text."""
    manifest, settings = model.manifest, model.settings
    admission, plain = model.engine.admission, InputOptions()
    route = admission.route(plain)
    return {
        "model": manifest.source.id,
        "revision": manifest.source.revision or "",
        "fingerprint": model.loaded.fingerprint,
        "compute_dtype": model.loaded.session.compute_dtype,
        "pooling": settings.pooling or manifest.pooling or manifest.task,
        "prompt": admission.prompt(None) or "",
        "route": route.name if route else "",
        "max_input_length": str(admission.length(plain)),  # tokens
        "auto_truncate": str(settings.auto_truncate).lower(),
        "dtype": options.dtype,
        "dimensions": str(options.dimensions or manifest.dimensions),
        "normalized": str(options.normalize).lower(),
        "made_by": f"embedding-service {__version__}",
    }
