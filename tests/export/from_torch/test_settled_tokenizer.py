"""Settled tokenizer: equal to what transformers makes of files and settings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, processors

from app.model.manifest import Manifest
from app.proof.bounds import is_proved
from export import pipeline, probe_texts
from export.checkpoint import read as checkpoints
from export.cli import Request
from export.errors import ExportError
from export.folder.fingerprint import fingerprint
from export.from_onnx import preparation
from export.from_torch import settled_tokenizer
from export.reference import original
from export.weights.weight_files import of_encoder
from tests.support.tiny_checkpoints import write_json, write_modules
from tools.models.tiny_tokenizers import FAMILIES, build

library: Any = transformers

TEXTS = probe_texts.texts(64)[:60]


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bert, tmp_path / "checkpoint")


def configure(folder: Path, **settings: Any) -> None:
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | settings)


def without_file(folder: Path) -> Path:
    """The checkpoint with a plain vocabulary file, as BERT was first published."""
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    words = sorted(vocabulary, key=lambda word: vocabulary[word])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    (folder / "tokenizer.json").unlink()
    return folder


def as_llama(folder: Path, **settings: Any) -> Path:
    """The checkpoint with byte pairs, whose file puts a token before a text and none after it."""
    tokenizer = build(FAMILIES["llama"])
    template = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.post_processor = template
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "</s>"}
    tokens = {f"{role}_token": text for role, text in names.items()}
    plain = {"tokenizer_class": "LlamaTokenizer", "legacy": True}
    write_json(folder / "tokenizer_config.json", plain | tokens | settings)
    return folder


def settled(folder: Path) -> Tokenizer | None:
    """Return what is made of a checkpoint's tokenizer; None where its file is served as it is."""
    made = folder.parent / "made.json"
    settled_tokenizer.settle(checkpoints.read(folder), made)
    return Tokenizer.from_file(str(made)) if made.is_file() else None


def test_a_file_that_does_all_is_served_as_it_is(folder: Path) -> None:
    assert settled(folder) is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"strip_accents": False}, "naïve café"),
        ({"do_lower_case": False}, "ALL CAPITALS"),
        ({"model_input_names": ["input_ids", "attention_mask"]}, None),
    ],
)
def test_settings_of_bert_are_served(
    folder: Path, settings: dict[str, Any], text: str | None
) -> None:
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    configure(folder, **settings)
    made = settled(folder)
    assert made is not None
    if text is None:  # without token types a pair is one text to the model
        assert set(plain.encode("a", "b").type_ids) == {0, 1}
        assert set(made.encode("a", "b").type_ids) == {0}
        return
    expected = library.AutoTokenizer.from_pretrained(folder)
    assert made.encode(text).ids == expected(text)["input_ids"] != plain.encode(text).ids
    assert [made.encode(one).ids for one in TEXTS] == expected(list(TEXTS))["input_ids"]


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"add_eos_token": True}, (1, 2)),
        ({"add_eos_token": True, "add_bos_token": False}, (None, 2)),
    ],
)
def test_tokens_that_settings_put_around_a_text_are_served(
    folder: Path, settings: dict[str, bool], ids: tuple[int | None, int]
) -> None:
    made = settled(as_llama(folder, **settings))
    assert made is not None
    found = made.encode("hello").ids
    assert (found[0] == 1, found[-1]) == (ids[0] == 1, ids[1])
    assert settled(as_llama(folder)) is not None  # the class puts bos before both texts of a pair


@pytest.mark.slow
def test_a_tokenizer_is_made_where_there_is_no_file(folder: Path, tmp_path: Path) -> None:
    # The class has a mask token, which this small model lacks.
    configure(folder, mask_token="[UNK]", do_lower_case=False)  # noqa: S106  # no password
    exported = pipeline.export(Request(str(without_file(folder)), models_dir=tmp_path / "models"))
    manifest = Manifest.read(exported)
    assert is_proved("embedding", "float32", manifest.certificates[0])
    served = Tokenizer.from_file(str(exported / "tokenizer.json"))
    assert served.token_to_id("guitar") is not None
    expected = library.AutoTokenizer.from_pretrained(folder)
    assert [served.encode(one).ids for one in TEXTS] == expected(list(TEXTS))["input_ids"]


def test_the_sources_of_a_tokenizer_are_in_the_fingerprint(folder: Path) -> None:
    def found() -> str:
        made = folder.parent / "made.json"
        checkpoint = checkpoints.read(folder, tokenizer=made)
        return fingerprint(of_encoder(folder), made, checkpoint)

    first = found()
    configure(folder, strip_accents=False)
    second = found()
    (without_file(folder) / "vocab.txt").write_text("other")
    assert len({first, second, found()}) == 3


def test_a_tokenizer_in_python_alone_is_refused_by_name(folder: Path) -> None:
    configure(without_file(folder), tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(
        ExportError,
        match=r"^the tokenizer of \S+, BertJapaneseTokenizer, is written in Python: transformers "
        r"has no fast form of it, and nothing else is served; choose another model$",
    ):
        settled(folder)


def test_special_tokens_that_are_to_be_split_are_refused(folder: Path) -> None:
    configure(folder, split_special_tokens=True)
    with pytest.raises(ExportError, match=r"cannot hold \(split_special_tokens\): of '\[CLS\] and"):
        settled(folder)


def test_a_folder_without_any_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"the tokenizer of \S+, which has no tokenizer\.json: "):
        settled(folder)


def test_onnx_alone_makes_no_tokenizer(folder: Path, tmp_path: Path) -> None:
    (without_file(folder) / "model.onnx").write_bytes(b"never opened")
    wanted = preparation.Preparation(folder, tmp_path / "models", "name", "id")
    with pytest.raises(ExportError, match=r"has no tokenizer\.json, which transformers makes of"):
        pipeline.prepare(wanted)


def with_pieces(folder: Path) -> Path:
    """A checkpoint with a sentencepiece model as its only tokenizer."""
    import sentencepiece

    folder.mkdir()
    corpus = folder.parent / "corpus.txt"
    corpus.write_text("\n".join(TEXTS))
    trainer: Any = sentencepiece.SentencePieceTrainer
    trainer.train(
        input=str(corpus),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=430,
        character_coverage=0.98,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.vocab").unlink()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"})
    config = library.XLMRobertaConfig(
        vocab_size=432,  # the pieces, a padding token and a mask token
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=26,
        type_vocab_size=1,
    )
    library.XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    write_modules(folder, "cls_token")
    return folder


@pytest.mark.slow
def test_a_sentencepiece_model_becomes_a_file(tmp_path: Path) -> None:
    folder = with_pieces(tmp_path / "pieces")
    made = settled(folder)
    assert made is not None
    slow = library.AutoTokenizer.from_pretrained(folder, use_fast=False)
    assert [made.encode(text).ids for text in TEXTS] == [slow(text)["input_ids"] for text in TEXTS]
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    [certificate] = [
        one for one in Manifest.read(exported).certificates if one.compute_dtype == "float32"
    ][:1]
    assert is_proved("embedding", "float32", certificate)


def test_without_its_package_a_sentencepiece_model_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_pieces(tmp_path / "pieces")
    monkeypatch.setattr(settled_tokenizer, "find_spec", lambda _: None)
    monkeypatch.setattr(original, "tokenizer", unreadable)
    with pytest.raises(ExportError, match=r"sentencepiece\.bpe\.model is read by the package"):
        settled(folder)


def unreadable(*_: Any, **__: Any) -> Any:
    raise ExportError("transformers cannot load it")
