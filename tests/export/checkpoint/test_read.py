"""Checkpoint: the facts read from the files of a Hugging Face folder, and refusals."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.model.parts import Padding
from export.checkpoint import read
from export.config.layers import Head
from export.errors import ExportError
from tests.support.configs import CLASSIFIER, Write


def test_plain_bert(write: Write) -> None:
    found = read.read(write())
    assert (found.architecture, found.model_type) == ("BertModel", "bert")
    assert (found.pooling, found.dimensions, found.vocabulary_size) == ("mean", 32, 100)
    assert found.padding == Padding(id=0, type_id=0, side="right")
    assert (found.prompts, found.default_prompt_name, found.similarity) == ({}, None, "cosine")
    assert found.activation is None
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("config", "stated", "expected"),
    [
        ({}, None, 64),
        ({}, 48, 48),
        ({}, 1000, 64),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, None, 512),
        (
            {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1},
            514,
            512,
        ),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}, None, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 384, 384),
        (
            {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": None},
            None,
            513,
        ),
        ({"max_position_embeddings": None, "max_trained_positions": 128}, None, 128),
        ({"max_position_embeddings": None}, 77, 77),
    ],
)
def test_maximum_length(
    write: Write, config: dict[str, Any], stated: int | None, expected: int
) -> None:
    sentence = None if stated is None else {"max_seq_length": stated}
    assert read.read(write(config, sentence=sentence)).max_input_length == expected


def test_maximum_length_that_is_null_falls_back_to_the_positions(write: Write) -> None:
    assert read.read(write(sentence={"max_seq_length": None})).max_input_length == 64


@pytest.mark.parametrize(
    ("config", "tokenizer", "expected"),
    [
        ({"pad_token_id": 1}, {}, Padding(1, 0, "right")),
        (
            {"pad_token_id": None, "eos_token_id": 7},
            {"padding_side": "left"},
            Padding(7, 0, "left"),
        ),
        ({"pad_token_id": None, "eos_token_id": [8, 9]}, None, Padding(8, 0, "right")),
        ({"pad_token_id": None}, {"pad_token_type_id": 3}, Padding(0, 3, "right")),
    ],
)
def test_padding(
    write: Write, config: dict[str, Any], tokenizer: dict[str, Any] | None, expected: Padding
) -> None:
    assert read.read(write(config, tokenizer=tokenizer)).padding == expected


def test_distilbert_calls_its_width_dim(write: Write) -> None:
    folder = write({"model_type": "distilbert", "hidden_size": None, "dim": 24})
    assert read.read(folder).dimensions == 24


def test_prompts_and_similarity(write: Write) -> None:
    prompts = {"query": "query: ", "document": ""}
    settings = {"prompts": prompts, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    found = read.read(write(sentence_transformers=settings))
    assert (found.prompts, found.default_prompt_name) == (prompts, "query")
    assert found.similarity == "dot"


def test_override_of_the_pooling_wins_over_an_unsupported_one(write: Write) -> None:
    found = read.read(write(pooling={"pooling_mode": "max"}), "last_token")
    assert found.pooling == "last_token"


CAUSAL: dict[str, Any] = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
CARD = "---\nlanguage: en\npipeline_tag: {}\n---\n# A model\npipeline_tag: nothing\n"


@pytest.mark.parametrize("pooling", [None, "last_token"])
@pytest.mark.parametrize(
    ("config", "card", "message"),
    [
        (CAUSAL, "", "Qwen3ForCausalLM predicts the next token, and no modules.json says"),
        (
            CAUSAL,
            CARD.format("text-ranking"),
            "reranker (its model card says text-ranking), and no",
        ),
        ({}, CARD.format("text-classification"), "calls it a model for text-classification"),
        ({}, CARD.format('"text-ranking"'), "calls it a model for text-ranking"),
    ],
)
def test_other_models_are_neither_offered_a_pooling_nor_given_one(
    write: Write, config: dict[str, Any], card: str, message: str, pooling: Any
) -> None:
    folder = write(config, pooling={})
    (folder / "README.md").write_text(card)
    with pytest.raises(ExportError, match=re.escape(message)) as refusal:
        read.read(folder, pooling)
    assert "--pooling" not in str(refusal.value)


@pytest.mark.parametrize(
    ("card", "documents"),
    [
        (CARD.format("feature-extraction"), {"pooling": {}}),
        (CARD.format("text-ranking"), {}),  # the files describe an embedding model
        ("pipeline_tag: text-ranking\n", {}),
    ],
)
def test_a_decoder_that_is_said_to_embed_is_pooled(
    write: Write, card: str, documents: dict[str, Any]
) -> None:
    folder = write(CAUSAL, **documents)
    (folder / "README.md").write_text(card)
    assert read.read(folder, "last_token").pooling == "last_token"


def test_masked_language_model_with_stated_pooling_is_an_encoder(write: Write) -> None:
    assert read.read(write({"architectures": ["BertForMaskedLM"]})).pooling == "mean"


def test_code_of_the_repository_for_anything_but_the_model_is_passed_over(write: Write) -> None:
    auto_map = {"AutoTokenizer": ["tokenization.Slow", None], "AutoConfig": "configuration.Config"}
    assert not read.read(write({"auto_map": auto_map})).brings_code


def test_code_of_the_repository_for_the_model_is_noticed(write: Write) -> None:
    auto_map = {"AutoModel": "organization/other--modeling.NewModel"}
    found = read.read(write({"architectures": ["NewModel"], "auto_map": auto_map}))
    assert (found.architecture, found.brings_code) == ("NewModel", True)


def test_lower_case_is_asked_for_only_where_the_tokenizer_keeps_case(write: Write) -> None:
    folder = write(sentence={"do_lower_case": True})
    assert read.read(folder).lower_case
    lowering = {"normalizer": {"type": "BertNormalizer", "lowercase": True}}
    (folder / "tokenizer.json").write_text(json.dumps(lowering))
    assert not read.read(folder).lower_case


def test_truncate_dim_is_the_width(write: Write) -> None:
    found = read.read(write(sentence_transformers={"truncate_dim": 8}))
    assert (found.dimensions, found.head) == (8, Head(("mean",), cut=8))
    found = read.read(write(sentence_transformers={"truncate_dim": 100}))
    assert (found.dimensions, found.head) == (32, Head(("mean",)))


def test_length_of_a_model_without_positions_is_the_tokenizers(write: Write) -> None:
    folder = write({"max_position_embeddings": None}, tokenizer={"model_max_length": 512})
    assert read.read(folder).max_input_length == 512


@pytest.mark.parametrize(
    ("config", "documents", "message"),
    [
        ({"architectures": None}, {}, "names no `architectures`"),
        ({"architectures": [3]}, {}, "architectures: .* is not a list of strings"),
        ({"model_type": 3}, {}, "model_type: 3 is not of type str"),
        (
            {"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "I"}},
            {},
            "BertForTokenClassification: classifiers of tokens are not supported",
        ),
        (
            {"architectures": ["BertForSequenceClassification"], "id2label": {"0": 3}},
            {},
            "id2label: 3 is not a string",
        ),
        (
            CLASSIFIER | {"id2label": {"0": "a", "1": "b"}, "problem_type": "ranking"},
            {},
            "problem_type: 'ranking' is none of regression, single_label_classification and",
        ),
        (
            {"architectures": ["BertForMaskedLM"]},
            {"pooling": {}},
            "to say how to pool: .*--pooling splade, --pooling cls .*--pooling mean",
        ),
        ({"model_type": "qwen3"}, {"pooling": {}}, "to say how to pool: .*--pooling last-token"),
        ({"hidden_size": None}, {}, "no usable `hidden_size`"),
        ({"vocab_size": 0}, {}, "no usable `vocab_size`"),
        ({"max_position_embeddings": None}, {}, "says how long an input may be"),
        ({}, {"sentence": {"max_seq_length": "many"}}, "max_seq_length: 'many' is not of type int"),
        ({}, {"sentence": {"max_seq_length": 0}}, "maximum input length is 0"),
        ({}, {"tokenizer": {"padding_side": "top"}}, "padding_side: 'top' is not left or right"),
        ({}, {"pooling": {"pooling_mode": "median"}}, "pooling median is not supported"),
        ({}, {"sentence_transformers": {"prompts": {"query": 1}}}, "every prompt must be a string"),
        (
            {},
            {"sentence_transformers": {"default_prompt_name": "query"}},
            "default_prompt_name: 'query' is not one of the prompts",
        ),
        (
            {},
            {"sentence_transformers": {"similarity_fn_name": "hamming"}},
            "similarity_fn_name: 'hamming' is not supported",
        ),
    ],
)
def test_refusals(
    write: Write, config: dict[str, Any], documents: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message) as refusal:
        read.read(write(config, **documents))
    assert "\n" not in str(refusal.value)


def test_prompts_are_left_out_of_the_pooling_where_it_says_so(write: Write) -> None:
    assert not read.read(write()).leaves_out_prompts
    folder = write(pooling={"pooling_mode": "mean", "include_prompt": False})
    assert read.read(folder).leaves_out_prompts
    assert read.read(folder, "cls").leaves_out_prompts


def test_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no config\.json: it is not a Hugging Face model"):
        read.read(tmp_path)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff"])
def test_damaged_config_is_refused_by_name(write: Write, content: bytes) -> None:
    folder = write()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ExportError, match=r"config\.json (is not a JSON object|cannot be read)"):
        read.read(folder)
