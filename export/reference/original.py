"""Original: a checkpoint's own tokenizer and model, as transformers loads them."""

import inspect
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open

from app.model.digests import file_digest
from app.model.manifest import TOKENIZER_FILE
from app.model.names import PoolingChoice, Task
from export.checkpoint.read import Checkpoint
from export.config import clip
from export.config.documents import Document
from export.errors import ExportError, first_line
from export.reference import clip_text
from export.weights import weight_files

# Attributes of `transformers`, since its classes carry no types.
_CLASSES: Mapping[Task, str] = MappingProxyType(
    {
        "embedding": "AutoModel",
        "splade": "AutoModelForMaskedLM",
        "classifier": "AutoModelForSequenceClassification",
        "reranker": "AutoModelForSequenceClassification",
        "multi_vector": "AutoModel",
    }
)
# AutoModel would load the decoders of these as well, which no embedding comes from.
_ENCODERS = MappingProxyType(
    {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
)
_OF_A_LAYER = re.compile(r"\.\d+\.")
_CODE = "transformers_modules."  # where transformers imports the code of repositories from


@dataclass(frozen=True, slots=True)
class Loading:
    """The folder of a whole checkpoint, and how users are to load it."""

    root: Path
    pooling: PoolingChoice | None = None  # in place of the checkpoint's own
    trust_code: bool = False  # whether code that it brings may run


def is_native(checkpoint: Checkpoint) -> bool:
    """Check whether transformers implements the model, so that it needs no code of its own."""
    if checkpoint.model_type not in transformers.CONFIG_MAPPING:
        return False
    return not checkpoint.brings_code or hasattr(transformers, checkpoint.architecture)


def load(checkpoint: Checkpoint, *, trust_code: bool, eager: bool = False) -> tuple[Any, Any]:
    """Load the tokenizer and the complete model; every exporter can trace `eager` attention.

    `trust_code` lets a model that transformers does not implement run its own code.

    Raises: ExportError if transformers cannot load the model, or not all of it.
    """
    _check_weights(checkpoint.folder)
    loaded = tokenizer(checkpoint, trust_code=trust_code)
    where = _where(checkpoint, trust_code=trust_code)
    trusted = where["trust_remote_code"]
    options: dict[str, Any] = {"attn_implementation": "eager"} if eager else {}
    if checkpoint.counts_labels:
        options["num_labels"] = len(checkpoint.labels)
    try:
        model, loading = _class(checkpoint).from_pretrained(
            checkpoint.folder, dtype=torch.float32, output_loading_info=True, **where, **options
        )
    except Exception as error:  # transformers raises whatever its parts raise
        files = f"config.json and the weights in {checkpoint.folder}"
        raise _failure(files, error) from error
    _check_complete(loading["missing_keys"])
    if checkpoint.brings_code and not trusted:
        _check_used(loading["unexpected_keys"])
    if clip.is_clip(checkpoint.architecture):
        model = clip_text.TextEncoder(model)
    model.eval()
    # ModernBERT would be compiled again for each length: half a minute for a tiny model.
    model.config.reference_compile = False
    # The server truncates on the right by default, whatever tokenizer_config.json says.
    loaded.truncation_side = "right"
    return loaded, model


def tokenizer(checkpoint: Checkpoint, *, trust_code: bool) -> Any:
    """Load the tokenizer alone, from the files that there are.

    Raises: ExportError if transformers cannot load it.
    """
    transformers.logging.set_verbosity(logging.ERROR)
    auto_tokenizer: Any = transformers.AutoTokenizer
    try:
        return auto_tokenizer.from_pretrained(
            checkpoint.folder, **_where(checkpoint, trust_code=trust_code)
        )
    except Exception as error:  # a damaged file can make transformers fail in any way
        files = f"{TOKENIZER_FILE} and tokenizer_config.json in {checkpoint.folder}"
        if not (checkpoint.folder / TOKENIZER_FILE).is_file():
            files = f"the tokenizer of {checkpoint.folder}, which has no {TOKENIZER_FILE}"
        raise _failure(files, error) from error


def python_tokenizer(folder: Path) -> str | None:
    """Return the name of the tokenizer's class if transformers has it in Python only."""
    name = Document.read(folder / "tokenizer_config.json").value("tokenizer_class", str)
    library: Any = transformers
    found = getattr(library, name or "", None)
    if not isinstance(found, type) or hasattr(library, f"{name}Fast"):
        return None
    return None if issubclass(found, library.PreTrainedTokenizerFast) else name


def examine(checkpoint: Checkpoint, *, trust_code: bool) -> tuple[str, ...]:
    """Load the model once, and return the SHA-256 of each file of code that it brings.

    Raises: ExportError as `load` does.
    """
    tokenizer, model = load(checkpoint, trust_code=trust_code)
    packages = {type(one).__module__.rpartition(".")[0] for one in (model, model.config, tokenizer)}
    files = {
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.startswith(_CODE) and name.rpartition(".")[0] in packages and module.__file__
    }
    return tuple(sorted(map(file_digest, files)))


def takes_types(model: Any) -> bool:
    """Check whether a model tells token types apart: it reads them, and has more than one."""
    return (
        getattr(model.config, "type_vocab_size", 0) > 1
        and "token_type_ids" in inspect.signature(model.forward).parameters
    )


def _where(checkpoint: Checkpoint, *, trust_code: bool) -> dict[str, bool]:
    """Say where transformers may look: trusted code may be in another repository than weights."""
    trusted = trust_code and checkpoint.brings_code and not is_native(checkpoint)
    return {"trust_remote_code": trusted, "local_files_only": not trusted}


def _class(checkpoint: Checkpoint) -> Any:
    if clip.is_clip(checkpoint.architecture):
        return getattr(transformers, checkpoint.architecture)
    name = _CLASSES[checkpoint.converted_as]
    if name == "AutoModel":
        name = _ENCODERS.get(checkpoint.model_type, name)
    return getattr(transformers, name)


def _failure(files: str, error: Exception) -> ExportError:
    return ExportError(f"transformers cannot load {files}: {first_line(error)}")


def _check_weights(folder: Path) -> None:
    """Raise ExportError naming a damaged file, which transformers' own error does not."""
    for path in weight_files.of_encoder(folder):
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt"):
                    pass
            except SafetensorError as error:
                raise ExportError(f"{path} cannot be read: {error}") from None


def _check_complete(missing: Sequence[str]) -> None:
    """Raise ExportError if weights are missing, which would be random; the pooler is not used."""
    lacking = [name for name in missing if not name.startswith("pooler.")]
    if lacking:
        raise ExportError(
            f"the weights lack {lacking[0]} and {len(lacking) - 1} more: the checkpoint does not "
            "fit the architecture in its config.json"
        )


def _check_used(unexpected: Sequence[str]) -> None:
    """Raise ExportError if the code's model only shares its name with transformers' own."""
    of_layers = [name for name in unexpected if _OF_A_LAYER.search(name)]
    if of_layers:
        raise ExportError(
            f"transformers' own model does not use {of_layers[0]} and {len(of_layers) - 1} more "
            "of the weights: it is another model than the code of the checkpoint implements; read "
            "that code and let it run by --trust-remote-code (TRUST_REMOTE_CODE=true)"
        )
