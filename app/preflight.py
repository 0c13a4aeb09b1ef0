"""Preflight: faults in the options that show before a model is looked for.

So an operator learns of them in the first second, and not after a download, a load and a proof.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from app.access.api_keys import all_keys, looks_named
from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import plans
from app.options.command_line import flag_name
from app.options.settings import DEFAULT_PORT, Settings
from app.telemetry import memory


def check(settings: Settings) -> None:
    """Check the folders and the extra that are named, the keys, and the provider and devices.

    Raises: StartupError naming the option.
    """
    for option, folder in (
        ("--models-dir (MODELS_DIR)", settings.models_dir),
        ("--huggingface-hub-cache (HUGGINGFACE_HUB_CACHE)", settings.huggingface_hub_cache),
        ("--cache-dir (CACHE_DIR)", settings.cache_dir),
        ("--batch-dir (BATCH_DIR)", settings.batch_dir),
    ):
        if folder is not None:
            _require_folder(option, folder)
    all_keys(settings.api_key, settings.api_key_file)
    if settings.grpc_port is not None:
        _require_grpc()
    if settings.provider != "auto" or settings.dtype in {"bfloat16", "float16", "int16"}:
        # What is asked for by name is refused for any kind of model.
        plans(ProviderRequest.of(settings), "embedding")


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for each option that was given and is old, or has no effect."""
    found = [
        f"{flag_name(one)} is {one.metadata['help']}"
        for one in fields(settings)
        if one.metadata.get("ignored") and getattr(settings, one.name) is not None
    ]
    if settings.hf_api_token is not None:
        found.insert(0, "--hf-api-token (HF_API_TOKEN) is deprecated: use --hf-token (HF_TOKEN)")
    if looks_named(settings.api_key):
        found.append(
            "--api-key is given once, so all of its text is the key, the part before = as well: "
            "a single NAME=KEY belongs into --api-key-file"
        )
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
    """Refuse a --cache-dir that cannot be written, before time is spent on its content.

    Raises: StartupError.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StartupError(
            f"{nearest} takes no files: see that --cache-dir {folder} can be written"
        )


def shortages(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence for each model whose weights alone are more than this process may hold.

    The system ends such a process without a word. Raises: StartupError for an unreadable folder.
    """
    limit = memory.limit_bytes()
    for folder in folders:
        try:
            weights = max((one.stat().st_size for one in folder.iterdir()), default=0)
        except OSError as error:
            raise StartupError(f"{folder} cannot be read: {error.strerror}") from None
        if limit is not None and weights >= limit:
            yield (
                f"the weights in {folder} are {_megabytes(weights)}, and this process may hold "
                f"{_megabytes(limit)} of memory: the system may end it; "
                f"give it {_megabytes(2 * weights)}"
            )


def out_of_memory() -> str:
    """Return the error message for a start that found no memory left."""
    limit = memory.limit_bytes()
    have = "" if limit is None else f": this process may hold {_megabytes(limit)}"
    return f"not enough memory{have}; give it more, or serve a smaller model"


def _megabytes(count: int) -> str:
    return f"{count // 1_000_000:,} MB"


def _require_grpc() -> None:
    try:
        import app.rpc.server  # noqa: F401  # imports all of the extra
    except ImportError as error:
        raise StartupError(
            f"--grpc-port needs the extra grpc, pip install 'embedding-service[grpc]': {error}"
        ) from None


def _require_folder(option: str, folder: Path) -> None:
    """Refuse a path below a file, or an unreadable folder; a missing folder may still be made."""
    try:
        nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        is_folder = nearest.is_dir()
    except OSError as error:  # a parent may be forbidden, or a name too long
        raise StartupError(f"{option}: {folder}: {error.strerror}: name another folder") from None
    if not is_folder:
        raise StartupError(f"{option}: {nearest} is not a folder: name one")
    if nearest == folder and not os.access(folder, os.R_OK | os.X_OK):
        raise StartupError(f"{option}: {folder} cannot be read by this user: see its permissions")
