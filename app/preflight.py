"""Preflight: what of the options can be seen to be wrong before a model is looked for.

Whoever starts a server hears of it in the first second, not after a download, a load and a proof.
"""

import os
from pathlib import Path

from app.errors import InvalidInput, StartupError
from app.inference.admission import find_prompt
from app.inference.providers.plan import Wanted
from app.inference.providers.session import plans
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import FILE_NAME, Manifest
from app.settings import Settings


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
        plans(wanted(settings), "embedding")  # of any kind of model: what is asked for is refused


def default_prompt(prompts: dict[str, str], name: str) -> str:
    """The text of the prompt that --default-prompt-name asks for.

    Raises: StartupError in TEI's words, with the names that there are.
    """
    try:
        return find_prompt(prompts, name)
    except InvalidInput as error:
        raise StartupError(str(error)) from None


def require_pooling(settings: Settings, manifest: Manifest) -> None:
    """Refuse what only an export can do: to make a SPLADE model, or anything else of one.

    Raises: StartupError with the command that does it.
    """
    asked = settings.pooling
    if asked is None or manifest.task not in {"embedding", "splade"}:
        return
    if (asked == "splade") != (manifest.task == "splade"):
        is_exported = (Path(settings.model_id) / FILE_NAME).is_file()
        command = settings.export_command(manifest.source.id if is_exported else None)
        was = manifest.pooling or manifest.task
        raise StartupError(
            f"--pooling {asked.replace('_', '-')}: the model was exported with {was} pooling; "
            f"leave the option out, or run: {command}"
        )


def require_texts(settings: Settings, manifest: Manifest) -> None:
    """Refuse a prompt before every input of a model that takes pairs, which have none.

    Raises: StartupError naming the option: every request to rank would be refused.
    """
    for option, given in (
        ("--default-prompt (DEFAULT_PROMPT)", settings.default_prompt),
        ("--default-prompt-name (DEFAULT_PROMPT_NAME)", settings.default_prompt_name),
    ):
        if given and manifest.task == "reranker":
            raise StartupError(
                f"{option}: {settings.model_id} is a reranker, and the pairs that it takes have no "
                "prompt: leave the option out"
            )


def require_room(settings: Settings, prompt: str | None, tokenization: Tokenization) -> None:
    """Refuse a prompt that leaves no token of any input, so that all would have one vector.

    Raises: StartupError naming the option.
    """
    option = "--default-prompt" if settings.default_prompt else "--default-prompt-name"
    if not prompt or not (settings.default_prompt or settings.default_prompt_name):
        return
    try:
        whole = tokenization.whole_text(prompt, None)
        tokens = sum(1 for _ in tokenization.tokens_now(whole, add_special_tokens=True))
    except InvalidInput as error:
        raise StartupError(f"{option}: {error}") from None
    longest = tokenization.max_length
    if tokens >= longest:
        raise StartupError(
            f"{option}: the prompt has {tokens} tokens, and the model takes {longest}: "
            "none are left for inputs"
        )


def wanted(settings: Settings) -> Wanted:
    """What is to compute the model."""
    return Wanted(
        provider=settings.provider,
        dtype=settings.dtype,
        threads=settings.threads,
        devices=settings.device_id or (),
        gpu_memory_limit=settings.gpu_memory_limit,
        cache_dir=settings.cache_dir,
    )


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
