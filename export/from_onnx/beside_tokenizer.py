"""Beside the tokenizer: settings that transformers applies to `tokenizer.json`, applied without it.

Rules are those of transformers 4.57 (tokenization_utils_fast.py, and the `*TokenizerFast` of each
family). An export from original weights uses transformers itself: `settled_tokenizer`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.model.manifest import TOKENIZER_FILE
from export.config.documents import Document, read_json
from export.errors import ExportError


@dataclass(frozen=True, slots=True)
class _Ends:
    """The tokens that a family puts around a text unless its settings say otherwise."""

    begins: bool
    bos: str
    eos: str


# By the name of the class, without `Fast`. These classes replace the template in the file.
_ENDS: Mapping[str, _Ends] = MappingProxyType(
    {
        "LlamaTokenizer": _Ends(begins=True, bos="<s>", eos="</s>"),
        "CodeLlamaTokenizer": _Ends(begins=True, bos="<s>", eos="</s>"),
        "GemmaTokenizer": _Ends(begins=True, bos="<bos>", eos="<eos>"),
        "CohereTokenizer": _Ends(begins=True, bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>"),
        "GPTNeoXTokenizer": _Ends(begins=False, bos="<|endoftext|>", eos="<|endoftext|>"),
    }
)
# Keys of BERT's classes, with their names in a normalizer and their defaults.
_LETTERS: Mapping[str, tuple[str, bool | None]] = MappingProxyType(
    {
        "do_lower_case": ("lowercase", True),
        "strip_accents": ("strip_accents", None),
        "tokenize_chinese_chars": ("handle_chinese_chars", True),
    }
)
_OF_BERT = frozenset(
    f"{name}Tokenizer"
    for name in (
        "Bert", "ConvBert", "DistilBert", "Electra", "Funnel", "LayoutLM", "LayoutLMv2", "Lxmert",
        "MPNet", "MobileBert", "RoFormer", "Splinter", "SqueezeBert",
    )
)  # fmt: skip
_WITHOUT_CHINESE = frozenset({"MPNetTokenizer", "RoFormerTokenizer", "SplinterTokenizer"})
# The class of a model, if tokenizer_config.json names none.
_OF_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "bert": "BertTokenizer",
        "distilbert": "DistilBertTokenizer",
        "electra": "ElectraTokenizer",
        "mpnet": "MPNetTokenizer",
        "nomic_bert": "BertTokenizer",
        "llama": "LlamaTokenizer",
        "mistral": "LlamaTokenizer",
        "gemma": "GemmaTokenizer",
        "gemma2": "GemmaTokenizer",
        "gemma3_text": "GemmaTokenizer",
    }
)


def settle(folder: Path, target: Path) -> None:
    """Write a checkpoint's tokenizer to `target` if the settings beside it change it.

    Raises: ExportError naming a setting that no tokenizer.json can hold, or a file that is damaged.
    """
    path = folder / TOKENIZER_FILE
    settings = Document.read(folder / "tokenizer_config.json")
    if settings.value("split_special_tokens", bool):
        raise ExportError(
            f"{folder}: tokenizer_config.json: split_special_tokens is not supported: no "
            f"{TOKENIZER_FILE} holds it"
        )
    content = read_json(path)
    if not isinstance(content, dict):
        raise ExportError(f"{path} is missing, or no JSON object: fetch the model again")
    original = json.dumps(content)
    model = Document.read(folder / "config.json").value("model_type", str) or ""
    name = settings.value("tokenizer_class", str) or _OF_MODELS.get(model, "")
    name = name.removesuffix("Fast")
    _set_prefix_space(content, settings, name)
    if name in _OF_BERT:
        _set_letters(content, settings, name)
    if (ends := _ENDS.get(name)) is not None:
        _set_ends(content, settings, Document.read(folder / "special_tokens_map.json"), ends)
    if json.dumps(content) != original:
        target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _set_prefix_space(content: dict[str, Any], settings: Document, name: str) -> None:
    """Set whether a space is put before a text, in a pre-tokenizer that has this option."""
    splitter = content.get("pre_tokenizer")
    wanted = settings.value("add_prefix_space", bool)
    if name == "LlamaTokenizer" and wanted is not None:
        raise ExportError(
            f"tokenizer_config.json: add_prefix_space of {name}: only transformers makes such a "
            "tokenizer: export the model from its original weights"
        )
    if isinstance(splitter, dict) and "add_prefix_space" in splitter:
        content["pre_tokenizer"] = splitter | {"add_prefix_space": bool(wanted)}


def _set_letters(content: dict[str, Any], settings: Document, name: str) -> None:
    """Set letter case and accents, if the file's normalizer is one step for them."""
    normalizer = content.get("normalizer")
    if not isinstance(normalizer, dict):
        return
    known = dict(_LETTERS)
    if name in _WITHOUT_CHINESE:
        del known["tokenize_chinese_chars"]
    wanted = {}
    for key, (ours, usual) in known.items():
        found = settings.value(key, bool)
        wanted[ours] = usual if found is None else found
    if any(normalizer.get(key, value) != value for key, value in wanted.items()):
        content["normalizer"] = normalizer | wanted


def _set_ends(content: dict[str, Any], settings: Document, special: Document, ends: _Ends) -> None:
    """Write the template of the tokens around a text and a pair."""
    begins = settings.value("add_bos_token", bool)
    begins = ends.begins if begins is None else begins
    ended = settings.value("add_eos_token", bool) or False
    bos = settings.token("bos_token") or special.token("bos_token") or ends.bos
    eos = settings.token("eos_token") or special.token("eos_token") or ends.eos
    single, second = (
        [*_piece(begins, bos, side), _text(name, side), *_piece(ended, eos, side)]
        for side, name in ((0, "A"), (1, "B"))
    )
    used = dict.fromkeys([*([bos] if begins else []), *([eos] if ended else [])])
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *second],
        "special_tokens": {
            token: {"id": token, "ids": [_id(content, token)], "tokens": [token]} for token in used
        },
    }


def _piece(is_there: bool, token: str, side: int) -> list[dict[str, Any]]:
    return [{"SpecialToken": {"id": token, "type_id": side}}] if is_there else []


def _text(name: str, side: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": side}}


def _id(content: dict[str, Any], token: str) -> int:
    """Return the id of a special token.

    Raises: ExportError if the file does not have it.
    """
    for one in content.get("added_tokens") or ():
        if one.get("content") == token:
            return int(one["id"])
    words = (content.get("model") or {}).get("vocab") or {}
    if isinstance(words, dict) and token in words:
        return int(words[token])
    raise ExportError(
        f"tokenizer_config.json puts {token!r} around a text, which {TOKENIZER_FILE} does not know"
    )
