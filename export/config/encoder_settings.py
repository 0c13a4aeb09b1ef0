"""Encoder settings: how `sentence_bert_config.json` prepares texts for the encoder.

Keys and precedence are those of sentence-transformers 5.7 (base/modules/transformer.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from export.config.documents import Document
from export.errors import ExportError

_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Arguments for loading a model, its tokenizer and its configuration, by their names since 5.4 and
# before: those that change no answer. Any other would make another model.
_HARMLESS: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {
        ("model_kwargs", "model_args"): frozenset(
            {
                "dtype", "torch_dtype", "attn_implementation", "device_map", "low_cpu_mem_usage",
                "use_safetensors", "add_pooling_layer", "trust_remote_code", "unpad_inputs",
                "use_memory_efficient_attention", "provider", "file_name", "export",
            }
        ),
        ("processor_kwargs", "tokenizer_args"): frozenset(
            {
                "model_max_length", "padding_side", "padding", "use_fast", "trust_remote_code",
                "clean_up_tokenization_spaces",
            }
        ),
        ("config_kwargs", "config_args"): frozenset(
            {
                "trust_remote_code", "add_pooling_layer", "use_cache", "output_hidden_states",
                "unpad_inputs", "use_memory_efficient_attention",
            }
        ),
    }
)  # fmt: skip
# Arguments that are passed with each text; padding to the longest of a batch changes no answer.
_PROCESSING = frozenset({"max_length", "truncation", "padding", "return_tensors"})
_CUTS = (None, True, "longest_first")  # the same for one text


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Settings of tokenization apart from the tokenizer's own."""

    max_length: int | None  # tokens, special ones included; None leaves it to the tokenizer
    lower_case: bool


NO_SETTINGS = EncoderSettings(None, lower_case=False)


def read(folder: Path, *, chats: bool = False) -> EncoderSettings:
    """Read the settings in an encoder's folder; the file may be absent.

    `chats` allows texts that pass through a chat template, which is then the caller's to apply.

    Raises: ExportError naming the setting that is not supported.
    """
    path, document = _find(folder)
    if not chats:
        _refuse_messages(path, document)
    for names, harmless in _HARMLESS.items():
        for name in names:
            _refuse_others(path, name, document.value(name, dict) or {}, harmless)
    lengths = [
        _length(path, *place)
        for place in (
            ("processing_kwargs.text.max_length", _processing(path, document)),
            ("processor_kwargs.model_max_length", _tokenizer_arguments(document)),
            ("max_seq_length", {"max_seq_length": document.value("max_seq_length", int)}),
        )
    ]
    return EncoderSettings(
        max_length=next((length for length in lengths if length is not None), None),
        lower_case=document.value("do_lower_case", bool) is True,
    )


def _find(folder: Path) -> tuple[Path, Document]:
    for name in _FILES:
        document = Document.read(folder / name)
        if document:
            return folder / name, document
    return folder / _FILES[0], Document(folder, {})


def _tokenizer_arguments(document: Document) -> dict[str, Any]:
    older = document.value("tokenizer_args", dict) or {}
    return older | (document.value("processor_kwargs", dict) or {})


def _processing(path: Path, document: Document) -> dict[str, Any]:
    """Return the arguments that are passed to the tokenizer with each text."""
    every = document.value("processing_kwargs", dict) or {}
    found: dict[str, Any] = {}
    for kind in ("common", "text"):
        given = every.get(kind) or {}
        if not isinstance(given, dict):
            raise ExportError(f"{path}: processing_kwargs: {kind}: {given!r} is not an object")
        found |= given
    _refuse_others(path, "processing_kwargs", found, _PROCESSING)
    if found.get("truncation") not in _CUTS:
        raise ExportError(
            f"{path}: processing_kwargs with truncation {found['truncation']!r} is not supported"
        )
    return found


def _length(path: Path, name: str, given: Mapping[str, Any]) -> int | None:
    found = given.get(name.rpartition(".")[2])
    if found is None or type(found) is int:
        return found
    raise ExportError(f"{path}: {name}: {found!r} is not a number of tokens")


def _refuse_messages(path: Path, document: Document) -> None:
    """Raise ExportError if texts become messages of a chat before they are tokenized."""
    if "message" in (document.value("modality_config", dict) or {}):
        raise ExportError(
            f"{path}: modality_config with `message`: texts that pass through a chat template are "
            "not supported"
        )


def _refuse_others(path: Path, name: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    for key, value in given.items():
        if key not in known and value is not None:
            raise ExportError(f"{path}: {name} with {key} is not supported: choose another model")
