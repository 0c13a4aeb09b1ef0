"""Download: a child process fetches a model of the Hub that is in no cache."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from app.download import export_process
from app.model.lookup import hub_cache
from app.options.settings import Settings

logger = logging.getLogger(__name__)

_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_TRUE = {"1", "ON", "YES", "TRUE"}
# The plain protocol resumes interrupted downloads, works with mirrors and needs no cache of its
# own.
_PLAIN = {"HF_HUB_DISABLE_XET": "1"}
_PROGRESS = {
    "TQDM_POSITION": "-1",  # show bars without a terminal,
    "TQDM_MININTERVAL": "5",  # at most this often: each is a line of the log
}


def is_possible(model_id: str) -> bool:
    """Check whether a name without a folder may be that of a model on the Hub."""
    return _ID.fullmatch(model_id) is not None and not Path(model_id).exists()


def is_offline(environment: Mapping[str, str]) -> bool:
    """Check whether the user has forbidden huggingface_hub the network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(environment.get(name, "").upper() in _TRUE for name in names)


def download(settings: Settings, environment: Mapping[str, str], spare: Callable[[], Path]) -> Path:
    """Fetch the model's ONNX graph, tokenizer and descriptions; return the cache that holds them.

    That is the configured cache, or the spare one if that cannot be written.

    Raises: StartupError with the reason in one line.
    """
    cache = _place(settings, environment, spare)
    logger.info("Starting download of %s to %s", settings.model_id, cache)
    arguments = ["--fetch", settings.model_id, "--cache", str(cache)]
    if settings.revision is not None:
        arguments.append(f"--revision={settings.revision}")
    if settings.onnx_file is not None:
        arguments.append(f"--onnx-file={settings.onnx_file}")
    export_process.run("downloading the model", arguments, _environment(settings, environment))
    return cache


def _place(settings: Settings, environment: Mapping[str, str], spare: Callable[[], Path]) -> Path:
    wanted = hub_cache.download_place(settings.huggingface_hub_cache, environment)
    if wanted is not None:
        folders = (wanted, wanted / hub_cache.cache_name(settings.model_id))
        if all(map(_can_be_written, folders)):
            return wanted.absolute()
    place = spare()
    logger.warning("%s cannot be written: downloading to %s", wanted or "no Hub cache", place)
    return place


def _can_be_written(folder: Path) -> bool:
    """Check whether this user may write to the folder, or to its nearest existing parent."""
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the child's environment, with the token, which others could read on a command line."""
    given = settings.hf_token or settings.hf_api_token
    token = {"HF_TOKEN": given} if given else {}
    return {**_PLAIN, **environment, **_PROGRESS, **token, "HF_HUB_ENABLE_HF_TRANSFER": "0"}
