"""Outputs: what a checkpoint makes of its encoder's states, and how many values that has."""

from app.model.names import PoolingChoice, Task
from export.config.documents import Document
from export.config.layers import Head, Layer, width_behind
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError


def encoder_width(task: Task, config: Document, labels: tuple[str, ...]) -> int:
    """Return how many values a token has behind the encoder; of other models, an answer.

    Raises: ExportError where config.json does not say it.
    """
    if task in {"embedding", "multi_vector"}:
        return required(config, "hidden_size", "dim", "d_model", "n_embd")
    return required(config, "vocab_size") if task == "splade" else len(labels)


def head(
    modules: SentenceModules, choice: PoolingChoice | None, width: int, cut: int | None
) -> tuple[Head, int]:
    """Return what an embedding model makes of tokens of that width, and the width of its vector.

    `choice` replaces its own pooling; of the vector no more than `cut` values are kept.

    Raises: ExportError for layers that do not fit, or that no other pooling goes with.
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
    """Return how many values the vector has that the layers make of each token.

    Raises: ExportError for layers that do not fit, and for vectors that are to be cut.
    """
    wide = behind(layers, width)
    if cut is not None and cut < wide:
        raise ExportError(f"truncate_dim {cut} is not supported for vectors of tokens")
    return wide


def behind(layers: tuple[Layer, ...], width: int) -> int:
    """Return how wide a vector of `width` is behind the layers.

    Raises: ExportError for layers that do not fit.
    """
    try:
        return width_behind(layers, width)
    except ValueError as error:
        raise ExportError(f"the layers of modules.json do not fit together: {error}") from None


def required(config: Document, *keys: str) -> int:
    """Return the first of some numbers that config.json states.

    Raises: ExportError where it states none that is positive.
    """
    found = config.first_integer(*keys)
    if found is None or found < 1:
        raise ExportError(f"config.json has no usable `{keys[0]}`: the model is not supported")
    return found
