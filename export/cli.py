"""Request: what to export, from the command line and the environment."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.model.lookup import hub_cache, model_ids, repository
from app.model.manifest import Manifest, ManifestError
from app.model.names import Dtype, PoolingChoice
from export.checkpoint.kinds import CHOICES, chosen
from export.errors import ExportError
from export.precision import precisions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One model to export; `pooling` overrides what the checkpoint says."""

    model: str
    revision: str | None = None
    pooling: PoolingChoice | None = None
    models_dir: Path = Path("models")
    if_missing: bool = False
    dtypes: tuple[Dtype, ...] = ()  # that get a graph beside the float32 one
    trust_code: bool = False  # whether code that the model brings may run, during the export
    adapter: str | None = None  # of the model's repository, to be merged into its weights

    @property
    def folder(self) -> Path:
        """The folder that the exported model is published in."""
        name = repository.folder_name(self.model, self.revision)
        return self.models_dir / self.exported_as(name)

    def exported_as(self, name: str) -> str:
        """Return the name of an exported model, with the requested adapter appended."""
        return f"{name}_{self.adapter}" if self.adapter else name


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Request:
    """Read flags, or else their environment variables; an empty value counts as unset.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = _parser(environment)
    found = parser.parse_args(arguments)
    if not found.model:
        parser.error("MODEL is missing: give a Hub id or a folder")
    try:
        dtypes = precisions.read(found.dtype or [environment.get("DTYPE") or ""])
    except ValueError as error:
        parser.error(f"--dtype: {error}")
    try:
        pooling = chosen(found.pooling)
    except ValueError as error:
        parser.error(f"--pooling {found.pooling} (environment: POOLING): {error}")
    return Request(
        model=found.model,
        revision=found.revision or None,
        pooling=pooling,
        models_dir=Path(found.models_dir or "models").expanduser(),
        if_missing=found.if_missing,
        dtypes=dtypes,
        trust_code=found.trust_remote_code or _is_set(parser, environment),
        adapter=found.adapter or None,
    )


def _is_set(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> bool:
    value = environment.get("TRUST_REMOTE_CODE", "").lower()
    if value not in {"", "0", "1", "true", "false"}:
        parser.error(f"TRUST_REMOTE_CODE={value}: must be true or false")
    return value in {"1", "true"}


def understood(request: Request, environment: Mapping[str, str]) -> Request:
    """Return the request with the model's name resolved to a folder or a Hub id.

    Raises: ExportError if the text cannot be a model's name.
    """
    places = model_ids.Places(request.models_dir, hub_cache.roots(None, environment))
    try:
        meant = model_ids.understand(request.model, request.revision, places)
    except model_ids.UnknownName as error:
        raise ExportError(str(error)) from None
    if meant.model != request.model:
        logger.info("by %s %s is meant", request.model, meant.model)
    return replace(request, model=meant.model, revision=meant.revision)


def already_exported(request: Request) -> Path | None:
    """Return the folder that already holds this model as requested, if there is one."""
    folder = repository.find(request.model, request.revision, request.models_dir)
    if request.adapter:
        folder = request.folder
    if folder is None:
        return None
    try:
        manifest = Manifest.read(folder)
    except ManifestError:
        return None
    dtypes = {graph.dtype for graph in manifest.graphs}
    whole = dtypes.issuperset(request.dtypes) and _has(manifest, request.pooling)
    return folder if whole else None


def _has(manifest: Manifest, pooling: PoolingChoice | None) -> bool:
    """Check whether an export with this pooling would make the model of the manifest."""
    if pooling is None or manifest.task in {"classifier", "reranker"}:
        return True
    return pooling in {manifest.pooling, manifest.task}


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Convert a Hugging Face model to a folder that the server opens.",
        epilog="--list shows what has been exported; --check FOLDER proves a folder again here.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        default=environment.get("MODEL_ID"),
        help="an id on the Hugging Face Hub, or a folder [env: MODEL_ID]",
    )
    parser.add_argument(
        "--revision",
        default=environment.get("REVISION"),
        help="branch, tag or commit on the Hub [env: REVISION]",
    )
    parser.add_argument(
        "--models-dir",
        default=environment.get("MODELS_DIR"),
        help="where exported models lie (default: models) [env: MODELS_DIR]",
    )
    parser.add_argument(
        "--pooling",
        metavar=f"{{{','.join(CHOICES)}}}",
        default=environment.get("POOLING"),
        help="pool this way instead of the checkpoint's own [env: POOLING]",
    )
    parser.add_argument(
        "--dtype",
        action="append",
        metavar="DTYPE",
        help="int8 adds a smaller, faster, less exact graph, float16 one for NVIDIA GPUs; float32 "
        "is always there [env: DTYPE]",
    )
    parser.add_argument(
        "--adapter",
        metavar="FOLDER",
        default=environment.get("ADAPTER"),
        help="merge the LoRA adapter in this folder of the model: one export a task, as a model of "
        "its own, MODEL_FOLDER [env: ADAPTER]",
    )
    parser.add_argument(
        "--if-missing",
        action="store_true",
        help="do nothing when the exported folder is there; the default model is made anew if an "
        "earlier version of the export made it",
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python code from the model's repository, here and never in the server "
        "[env: TRUST_REMOTE_CODE]",
    )
    return parser
