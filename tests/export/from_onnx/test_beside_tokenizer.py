"""Settings beside tokenizer.json, applied without transformers, with equal tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, normalizers

from app.model.manifest import Manifest
from export import pipeline, probe_texts
from export.errors import ExportError
from export.from_onnx import beside_tokenizer
from export.from_onnx.preparation import Preparation
from tests.support.snapshot import write_folder
from tools import tiny
from tools.models.tiny_tokenizers import FAMILIES, build

library: Any = transformers
TEXTS = list(probe_texts.texts(32)[:50])


def checkpoint(folder: Path, family: str, model: str, **settings: Any) -> Path:
    """A folder with a tokenizer of a family, and with settings beside it."""
    build(FAMILIES[family]).save(str(folder / "tokenizer.json"))
    written = dict(FAMILIES[family].config) | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(written))
    (folder / "config.json").write_text(json.dumps({"model_type": model}))
    return folder


def served(folder: Path) -> Tokenizer:
    made = folder / "made.json"
    beside_tokenizer.settle(folder, made)
    tokenizer = Tokenizer.from_file(str(made if made.is_file() else folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_without_effect_leave_the_file_unchanged(tmp_path: Path, family: str) -> None:
    beside_tokenizer.settle(checkpoint(tmp_path, family, "bert"), tmp_path / "made.json")
    assert not (tmp_path / "made.json").exists()


LLAMA = {"tokenizer_class": "LlamaTokenizerFast"}


@pytest.mark.parametrize(
    ("family", "model", "settings"),
    [
        ("bert", "bert", {"do_lower_case": False}),
        ("bert", "bert", {"strip_accents": False}),
        ("bert", "bert", {"do_lower_case": False, "tokenize_chinese_chars": False}),
        ("bert", "bert", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}),
        ("bert", "bert", {"tokenizer_class": None, "do_lower_case": False}),
        ("distilbert", "distilbert", {"do_lower_case": False}),
        ("mpnet", "mpnet", {"do_lower_case": False}),
        ("bert", "bert", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}),
        ("roberta", "roberta", {"add_prefix_space": True}),
        ("modernbert", "modernbert", {"add_prefix_space": True}),
        ("llama", "llama", LLAMA),
        ("llama", "llama", LLAMA | {"add_eos_token": True}),
        ("llama", "llama", LLAMA | {"add_bos_token": False}),
        ("llama", "llama", LLAMA | {"add_eos_token": True, "add_bos_token": False}),
        ("llama", "mistral", {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True}),
        ("llama", "llama", {"add_eos_token": True}),
        ("gemma", "gemma", {"tokenizer_class": "GemmaTokenizer", "add_eos_token": True}),
        ("qwen", "qwen2", {"add_eos_token": True}),
    ],
)
def test_the_tokens_are_transformers(
    tmp_path: Path, family: str, model: str, settings: dict[str, Any]
) -> None:
    folder = checkpoint(tmp_path, family, model, **settings)
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    found = served(folder)
    pairs = list(zip(TEXTS, TEXTS[7:], strict=False))
    expected = tokenizer(TEXTS)["input_ids"]
    assert [found.encode(text).ids for text in TEXTS] == expected
    firsts, seconds = zip(*pairs, strict=True)
    expected = tokenizer(list(firsts), list(seconds))["input_ids"]
    assert [found.encode(*pair).ids for pair in pairs] == expected


def test_settings_that_no_file_holds_are_refused_by_key(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "bert", "bert", split_special_tokens=True)
    with pytest.raises(ExportError, match="split_special_tokens is not supported"):
        beside_tokenizer.settle(folder, tmp_path / "made.json")
    folder = checkpoint(tmp_path, "llama", "llama", **LLAMA, add_prefix_space=True)
    with pytest.raises(ExportError, match="add_prefix_space of LlamaTokenizer: only transformers"):
        beside_tokenizer.settle(folder, tmp_path / "made.json")
    unknown = LLAMA | {"add_eos_token": True, "eos_token": "<x>"}
    folder = checkpoint(tmp_path, "llama", "llama", **unknown)
    with pytest.raises(ExportError, match="puts '<x>' around a text, which "):
        beside_tokenizer.settle(folder, tmp_path / "made.json")


def prepared(folder: Path) -> Path:
    place = pipeline.prepare(Preparation(folder, folder / "models", "m", "m"))
    Manifest.read(place).verify_files(place)
    return place


def ids(place: Path, text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return list(tokenizer.encode(text).ids)


def test_an_onnx_model_is_served_with_them(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    settings = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": True,
        "eos_token": "[SEP]",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    plain, eos = tiny.ids_of("the cat").tolist(), 3
    assert ids(prepared(folder), "the cat") == [*plain[1:-1], eos] != plain


def test_do_lower_case_is_applied_to_an_onnx_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    tokenizer = tiny.tokenizer()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    assert ids(prepared(folder), "The CAT") == tiny.ids_of("the cat").tolist()


def test_another_setting_is_another_vector_space(tmp_path: Path) -> None:
    fingerprints = set()
    for strip in (False, True):
        folder = write_folder(tmp_path / str(strip))
        settings = {"tokenizer_class": "BertTokenizer", "strip_accents": strip}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        fingerprints.add(Manifest.read(prepared(folder)).fingerprint)
    assert len(fingerprints) == 2
