"""Prompts: texts put before inputs, by the names that requests and operators choose."""

from app.errors import LONGEST_NAME, InvalidInput, StartupError
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest
from app.model.routing import Routing
from app.options.settings import Settings


def find_prompt(prompts: dict[str, str], name: str) -> str:
    """Return the text of a named prompt.

    Raises: InvalidInput in TEI's words, which say `default-prompt-name` wherever the name is from.
    """
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    if not prompts:
        raise InvalidInput(
            f"Input validation error: `default-prompt-name` is set to `{shown}` but no "
            "prompts were found in the Sentence Transformers configuration"
        )
    if name not in prompts:
        available = ", ".join(f'"{known}"' for known in prompts)
        raise InvalidInput(
            f"Input validation error: `default-prompt-name` is set to `{shown}` but it "
            f"was not found in the Sentence Transformers prompts. Available prompts: [{available}]"
        )
    return prompts[name]


def require_prompt(prompts: dict[str, str], name: str) -> str:
    """Return the text of the prompt that --default-prompt-name asks for.

    Raises: StartupError in TEI's words, which list the known names.
    """
    try:
        return find_prompt(prompts, name)
    except InvalidInput as error:
        raise StartupError(str(error)) from None


def prompt_names(manifest: Manifest) -> tuple[str, ...]:
    """Return what a request may name: the model's prompts, and the names that choose a route."""
    return tuple(dict.fromkeys((*manifest.prompts, *Routing.of(manifest).names)))


def default_prompt(settings: Settings, manifest: Manifest) -> str | None:
    """Return the prompt of inputs that name none: an option's, or the checkpoint's.

    Raises: StartupError naming the option, in TEI's words if the prompt does not exist, or if the
    kind of model takes none.
    """
    _require_texts(settings, manifest)
    if settings.default_prompt is not None:
        return settings.default_prompt or None
    if settings.default_prompt_name is None:
        return manifest.default_prompt
    routing = Routing.of(manifest)
    if routing.knows(settings.default_prompt_name):
        return routing.prompt(settings.default_prompt_name)
    return require_prompt(manifest.prompts, settings.default_prompt_name)


def require_room(settings: Settings, prompt: str | None, tokenization: Tokenization) -> None:
    """Refuse a prompt that leaves no room for inputs, so that all would have the same vector.

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


def _require_texts(settings: Settings, manifest: Manifest) -> None:
    """Refuse a default prompt for a reranker: its pairs take none, so every request would fail.

    Raises: StartupError naming the option.
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
