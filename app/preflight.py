"""Preflight: what of the options can be seen to be wrong before a model is looked for.

Whoever starts a server hears of it in the first second, not after a download, a load and a proof.
"""

import os
from dataclasses import fields
from pathlib import Path

from app.command_line import flag_name
from app.errors import StartupError
from app.inference.providers.plan import Wanted
from app.inference.providers.session import plans
from app.settings import DEFAULT_PORT, Settings


def check(settings: Settings) -> None:
    """Look at every folder that is named, and for the provider, precision and devices asked for.

    Raises: StartupError naming the option.
    """
    for option, folder in (
        ("--models-dir (MODELS_DIR)", settings.models_dir),
        ("--huggingface-hub-cache (HUGGINGFACE_HUB_CACHE)", settings.huggingface_hub_cache),
        ("--cache-dir (CACHE_DIR)", settings.cache_dir),
    ):
        if folder is not None:
            _require_folder(option, folder)
    if settings.provider != "auto" or settings.dtype in {"bfloat16", "float16"}:
        # Of any kind of model: what is asked for by name is refused.
        plans(Wanted.of(settings), "embedding")


def warnings(settings: Settings) -> list[str]:
    """A sentence for each option that was given and is old, or that nothing comes of."""
    found = [
        f"{flag_name(one)} is {one.metadata['help']}"
        for one in fields(settings)
        if one.metadata.get("ignored") and getattr(settings, one.name) is not None
    ]
    if settings.hf_api_token is not None:
        found.insert(0, "--hf-api-token (HF_API_TOKEN) is deprecated: use --hf-token (HF_TOKEN)")
    if settings.aip_http_port is not None and settings.port not in {
        DEFAULT_PORT,
        settings.aip_http_port,
    }:
        found.append(f"--aip-http-port {settings.aip_http_port} goes before --port {settings.port}")
    if settings.max_concurrent_bytes < settings.payload_limit:
        found.append(
            f"--max-concurrent-bytes {settings.max_concurrent_bytes} is less than --payload-limit "
            f"{settings.payload_limit}, which one request may have: there is room for both together"
        )
    return found


def require_writable(folder: Path) -> None:
    """Refuse a --cache-dir that takes no files, before time goes into what it is to hold.

    Raises: StartupError.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StartupError(
            f"{nearest} takes no files: see that --cache-dir {folder} can be written"
        )


def _require_folder(option: str, folder: Path) -> None:
    """A folder that is not there yet may still be made, but not below a file."""
    try:
        nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        is_folder = nearest.is_dir()
    except OSError as error:  # a folder above it may not be entered, or a name is too long
        raise StartupError(f"{option}: {folder}: {error.strerror}: name another folder") from None
    if not is_folder:
        raise StartupError(f"{option}: {nearest} is not a folder: name one")
    if nearest == folder and not os.access(folder, os.R_OK | os.X_OK):
        raise StartupError(f"{option}: {folder} cannot be read by this user: see its permissions")
