"""Checkpoint: what is read from the files of a Hugging Face folder, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.model.parts import Padding
from export.checkpoint import read
from export.config.layers import Head
from export.config.splade import Splade
from export.errors import ExportError

CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 32,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a checkpoint's JSON files; `config` is added to a BERT's, the rest replaces."""

    def write(config: dict[str, Any] | None = None, **documents: Any) -> Path:
        named = {
            "config.json": CONFIG | (config or {}),
            "tokenizer.json": {},
            "1_Pooling/config.json": documents.get("pooling", {"pooling_mode": "mean"}),
            "modules.json": documents.get("modules"),
            "sentence_bert_config.json": documents.get("sentence"),
            "config_sentence_transformers.json": documents.get("sentence_transformers"),
            "tokenizer_config.json": documents.get("tokenizer"),
        }
        for name, content in named.items():
            if content is not None:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(json.dumps(content))
        return tmp_path

    return write


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


@pytest.mark.parametrize(
    ("model_id", "pooling", "original"),
    [
        ("Xenova/all-MiniLM-L6-v2", "mean", "sentence-transformers/all-MiniLM-L6-v2"),
        ("Xenova/bge-small-en-v1.5", "cls", "BAAI/bge-small-en-v1.5"),
        ("Qdrant/bge-small-en-v1.5-onnx-Q", "cls", "BAAI/bge-small-en-v1.5"),
        ("qdrant/all-MiniLM-L6-v2-onnx", "mean", "sentence-transformers/all-MiniLM-L6-v2"),
        (
            "onnx-community/Qwen3-Embedding-0.6B-ONNX",
            "last_token",
            "Qwen/Qwen3-Embedding-0.6B",
        ),
        ("BAAI/bge-m3", "cls", "BAAI/bge-m3"),
    ],
)
def test_what_is_published_under_a_well_known_name_decides(
    write: Write, model_id: str, pooling: str, original: str
) -> None:
    found = read.read(write(pooling={}), None, model_id)
    assert (found.pooling, found.choice) == (pooling, pooling)
    assert found.pooling_source == f"published with {original}"
    assert found.notes == (f"pooling: {pooling} (by published with {original})",)


@pytest.mark.parametrize(
    "model_id",
    ["", "bge-m3", "someone/bge-m3", "Xenova/bge-unheard-of", "sentence-transformers/bge-m3"],
)
def test_another_name_decides_nothing(write: Write, model_id: str) -> None:
    with pytest.raises(ExportError, match=r"--pooling cls .*--pooling mean"):
        read.read(write(pooling={}), None, model_id)


def test_a_published_splade_model_is_one(write: Write) -> None:
    folder = write({"architectures": ["BertForMaskedLM"]}, pooling={})
    assert read.read(folder, None, "Qdrant/Splade_PP_en_v1").task == "splade"


def test_what_the_files_or_the_user_say_goes_before_what_is_published(write: Write) -> None:
    found = read.read(write(), None, "BAAI/bge-m3")
    assert (found.pooling, found.pooling_source) == ("mean", "1_Pooling/config.json")
    found = read.read(write(), "last_token", "BAAI/bge-m3")
    assert (found.pooling, found.pooling_source) == ("last_token", "--pooling")


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
def test_what_is_no_embedding_model_is_neither_offered_a_pooling_nor_given_one(
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


CLASSIFIER = {"architectures": ["BertForSequenceClassification"]}


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        ({"id2label": {"1": "glad", "0": "sad"}}, "classifier", ("sad", "glad")),
        ({"label2id": {"glad": 1, "sad": 0}}, "classifier", ("sad", "glad")),
        ({"id2label": {"0": "sad", "2": "glad"}}, "classifier", ("sad", "LABEL_1")),
        ({"id2label": {"0": "LABEL_0"}}, "reranker", ("LABEL_0",)),
        ({}, "classifier", ("LABEL_0", "LABEL_1")),  # as transformers counts
        ({"num_labels": 1}, "reranker", ("LABEL_0",)),
    ],
)
def test_labels_make_a_classifier_or_a_reranker(
    write: Write, labels: dict[str, Any], task: str, expected: tuple[str, ...]
) -> None:
    found = read.read(write(CLASSIFIER | labels))
    assert (found.task, found.labels, found.dimensions) == (task, expected, len(expected))
    assert (found.pooling, found.normalize) == (None, False)


@pytest.mark.parametrize(
    ("labels", "problem", "expected"),
    [
        (1, None, "sigmoid"),
        (2, None, "softmax"),
        (2, "single_label_classification", "softmax"),
        (1, "single_label_classification", "sigmoid"),
        (3, "multi_label_classification", "sigmoid"),
        (1, "multi_label_classification", "sigmoid"),
        (1, "regression", "none"),
        (3, "regression", "none"),
    ],
)
def test_the_problem_says_what_makes_scores_of_logits(
    write: Write, labels: int, problem: str | None, expected: str
) -> None:
    names = {str(place): f"label {place}" for place in range(labels)}
    # `function_to_apply` is what transformers' pipeline never comes to.
    config = {"id2label": names, "problem_type": problem, "function_to_apply": "tanh"}
    assert read.read(write(CLASSIFIER | config)).activation == expected


def test_the_architecture_that_classifies_counts_wherever_it_stands(write: Write) -> None:
    names = ["BertModel", "BertForSequenceClassification"]
    found = read.read(write({"architectures": names, "id2label": {"0": "a"}}))
    assert (found.architecture, found.task) == (names[1], "reranker")


def test_a_pooling_for_a_classifier_is_ignored_with_a_warning(write: Write) -> None:
    found = read.read(write(CLASSIFIER | {"id2label": {"0": "a"}}), "cls")
    assert found.pooling is None
    assert found.warnings == (
        "--pooling is ignored: the model is a reranker, which does not pool by it",
    )


SPLADE_MODULES = [
    {"type": "sentence_transformers.sparse_encoder.models.MLMTransformer", "path": ""},
    {
        "type": "sentence_transformers.sparse_encoder.models.SpladePooling",
        "path": "1_SpladePooling",
    },
]
MASKED = {"architectures": ["BertForMaskedLM"]}


def write_splade(write: Write, pooling: dict[str, Any]) -> Path:
    folder = write(MASKED, modules=SPLADE_MODULES)
    (folder / "1_SpladePooling").mkdir()
    (folder / "1_SpladePooling/config.json").write_text(json.dumps(pooling))
    return folder


def test_a_splade_model_is_as_wide_as_its_vocabulary(write: Write) -> None:
    found = read.read(write_splade(write, {"pooling_strategy": "max"}))
    assert (found.task, found.pooling, found.dimensions) == ("splade", None, 100)


def test_a_masked_language_model_becomes_a_splade_model_on_request(write: Write) -> None:
    assert read.read(write(MASKED), "splade").task == "splade"
    with pytest.raises(ExportError, match="BertModel is not a ForMaskedLM model"):
        read.read(write(), "splade")


@pytest.mark.parametrize(
    ("pooling", "reason"),
    [
        ({"pooling_strategy": "mean"}, "config.json: pooling_strategy mean is not max or sum"),
        (
            {"activation_function": "gelu"},
            "config.json: activation_function gelu is not relu or log1p_relu",
        ),
    ],
)
def test_another_splade_pooling_is_refused(
    write: Write, pooling: dict[str, str], reason: str
) -> None:
    with pytest.raises(ExportError, match=reason):
        read.read(write_splade(write, pooling))


@pytest.mark.parametrize(
    ("pooling", "splade"),
    [
        ({}, Splade("max", "relu")),
        ({"pooling_strategy": None, "activation_function": None}, Splade("max", "relu")),
        ({"pooling_strategy": "sum"}, Splade("sum", "relu")),
        ({"activation_function": "log1p_relu"}, Splade("max", "log1p_relu")),
        # What only bounds memory, and what the logits say by themselves.
        ({"chunk_size": 8, "embedding_dimension": 7}, Splade("max", "relu")),
        ({"word_embedding_dimension": 7}, Splade("max", "relu")),
    ],
)
def test_a_splade_pooling_is_read(write: Write, pooling: dict[str, Any], splade: Splade) -> None:
    assert read.read(write_splade(write, pooling)).splade == splade


def test_a_normalize_may_stand_behind_a_splade_pooling(write: Write) -> None:
    folder = write_splade(write, {})
    normalize = {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}
    (folder / "modules.json").write_text(json.dumps([*SPLADE_MODULES, normalize]))
    found = read.read(folder)
    assert (found.splade, found.normalize) == (Splade(normalize=True), False)


@pytest.mark.parametrize(
    "kinds", [("Pooling", "SparseAutoEncoder"), ("SpladePooling", "SparseAutoEncoder")]
)
def test_a_sparse_autoencoder_is_refused_by_name(write: Write, kinds: tuple[str, str]) -> None:
    modules = [
        {"type": f"sentence_transformers.sparse_encoder.modules.{kind}", "path": kind}
        for kind in ("Transformer", *kinds)
    ]
    with pytest.raises(ExportError, match=r"modules\.SparseAutoEncoder is not supported"):
        read.read(write(MASKED, modules=[{**modules[0], "path": ""}, *modules[1:]]))


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
