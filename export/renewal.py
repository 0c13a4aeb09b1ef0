"""Renewal: when an exported folder is made anew, though it is there.

That is done to one model only, the default one whose weights come with the environment: `make` has
exported it, and does so again without a network. Every other folder stays as it is, and is served.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path

from app.model.manifest import Manifest
from app.model.names import OWN_GRAPHS
from app.operators import library
from export.checkpoint.pooling_source import OPTION
from export.cli import Request
from export.folder import recipe
from export.source import default_model

logger = logging.getLogger(__name__)


def of(request: Request, folder: Path) -> Request | None:
    """Return the request that makes this folder anew, or None if it stays as it is.

    Raises: ExportError if the installed default model is not the published one.
    """
    manifest = Manifest.read(folder)
    earlier = recipe.is_behind(manifest.tools)
    if request.model == default_model.DEFAULT_MODEL_ID:
        # It has one wherever the operators are there; whether another model has, is not known.
        earlier = earlier or (not _has_int16(manifest) and library.fault() is None)
    if not earlier:
        return None
    if not _is_ours(request, folder, manifest):
        logger.info(
            "%s was made by an earlier version of the export, and may lack graphs that this one "
            "makes: without --if-missing it is made anew",
            folder,
        )
        return None
    logger.info("%s was made by an earlier version of the export: it is made anew", folder)
    held = {graph.dtype for graph in manifest.graphs}
    dtypes = tuple(one for one in OWN_GRAPHS if one in held or one in request.dtypes)
    return replace(request, dtypes=dtypes)


def _has_int16(manifest: Manifest) -> bool:
    return any(graph.dtype == "int16" for graph in manifest.graphs)


def _is_ours(request: Request, folder: Path, manifest: Manifest) -> bool:
    """Check whether a folder is the default model as `make` exports it, where it may be written."""
    default = request.model == default_model.DEFAULT_MODEL_ID and request.revision is None
    if not default or request.adapter or folder != request.folder:
        return False
    if manifest.pooling_source == OPTION and request.pooling is None:
        return False  # made with an option that this request lacks
    if folder.is_symlink() or folder.is_mount():
        return False
    writable = all(os.access(one, os.W_OK | os.X_OK) for one in (folder.parent, folder))
    return writable and default_model.installed() is not None
