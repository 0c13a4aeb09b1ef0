"""Fetch: an ONNX model from the Hub, downloaded to a cache where the server finds it.

The server runs this as `python -m export --fetch ID --cache FOLDER`.
"""

import argparse
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Download:
    """One model to fetch, and the cache it goes to."""

    id: str
    cache: Path
    revision: str | None = None
    onnx_file: str | None = None  # another graph than the float32 one


def parse(arguments: Sequence[str]) -> Download:
    """Read the command line; huggingface_hub reads its own environment variables.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--fetch", required=True, metavar="ID", dest="id")
    parser.add_argument("--cache", type=Path, required=True, help="a Hub cache folder")
    parser.add_argument("--revision", help="a branch, tag or commit (default: main)")
    parser.add_argument("--onnx-file", help="another graph than model.onnx or onnx/model.onnx")
    found = parser.parse_args(arguments)
    return Download(found.id, found.cache, found.revision, found.onnx_file)


def fetch(wanted: Download) -> Path:
    """Download the model, and return its folder.

    Raises: ExportError or OSError; files that have arrived stay, and the next call continues.
    """
    # End at once: there is nothing to clean up, and a handler would wait for a name to be resolved.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        from export.source import hub
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error}: to download {wanted.id} at start install the extra `hub`, or export it first"
        ) from None
    folder = hub.download_onnx(wanted.id, wanted.revision, wanted.cache, wanted.onnx_file)
    logger.info("%s is in %s", wanted.id, folder)
    return folder
