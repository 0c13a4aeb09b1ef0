"""Outputs: what a checkpoint computes from its encoder's states, and its width."""

from app.model.names import PoolingChoice, Task
from export.config.documents import Document
from export.config.layers import Head, Layer, width_behind
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError


def encoder_width(task: Task, config: Document, labels: tuple[str, ...]) -> int:
    """Return the width of a token's vector, or of an answer if the model does not embed.

    Raises: ExportError if config.json does not state it.
    """
    if task in {"embedding", "multi_vector"}:
        return required(config, "hidden_size", "dim", "d_model", "n_embd")
    return required(config, "vocab_size") if task == "splade" else len(labels)


def vector(
    task: Task,
    modules: SentenceModules,
    choice: PoolingChoice | None,
    width: int,
    cut: int | None,
) -> tuple[Head | None, int]:
    """Return the head behind the encoder, if there is one, and the width of the main output.

    Raises: ExportError as `head` and `token_width` do.
    """
    if task == "embedding":
        return head(modules, choice, width, cut)
    if task == "multi_vector":
        return None, token_width(modules.token_layers, width, cut)
    return None, width


def head(
    modules: SentenceModules, choice: PoolingChoice | None, width: int, cut: int | None
) -> tuple[Head, int]:
    """Return an embedding model's head over tokens of `width` values, and its vector's width.

    `choice` replaces the model's own pooling; at most `cut` values of the vector are kept.

    Raises: ExportError if layers do not fit together, or do not allow another pooling.
    """
    poolings = modules.poolings
    if choice is not None and choice != "splade":
        if modules.layers:
            raise ExportError(
                f"--pooling {choice} is not possible: the model has layers behind its own pooling"
            )
        poolings = (choice,)
    wide = behind(modules.layers, width * max(1, len(poolings)))
    if cut is None or cut >= wide:
        cut = None
    return Head(poolings, modules.layers, cut, modules.include_prompt), cut or wide


def token_width(layers: tuple[Layer, ...], width: int, cut: int | None) -> int:
    """Return the width of the vector that the layers compute for each token.

    Raises: ExportError if layers do not fit together, or if vectors are to be cut.
    """
    wide = behind(layers, width)
    if cut is not None and cut < wide:
        raise ExportError(f"truncate_dim {cut} is not supported for vectors of tokens")
    return wide


def behind(layers: tuple[Layer, ...], width: int) -> int:
    """Return the width of a vector of `width` values after the layers.

    Raises: ExportError if layers do not fit together.
    """
    try:
        return width_behind(layers, width)
    except ValueError as error:
        raise ExportError(f"the layers of modules.json do not fit together: {error}") from None


def required(config: Document, *keys: str) -> int:
    """Return the first of these integers that config.json states.

    Raises: ExportError if it states none, or if that one is below 1.
    """
    found = config.first_integer(*keys)
    if found is None or found < 1:
        raise ExportError(f"config.json has no usable `{keys[0]}`: the model is not supported")
    return found
