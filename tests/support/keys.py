"""Every key of a checkpoint's files that changes an answer, and its effect here.

From the sources of sentence-transformers 5.7 and 6.2 and transformers 4.57 and 5.23. A row is a file,
a key, a value that says something else than the plain checkpoint of `write`, and the outcome.
`docs/checkpoint-files.md` says the same of each key.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.checkpoint.read import Checkpoint
from export.config.layers import Dense
from export.config.logit_score import LogitScore
from export.config.splade import Splade

Facts = Callable[[Checkpoint], Any]


@dataclass(frozen=True, slots=True)
class Honoured:
    """Reading the checkpoint gives another fact."""

    fact: Facts
    expected: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The export is refused in words that name the key."""

    words: str


class Nothing:
    """The key changes no answer, and nothing that is read."""


NOTHING = Nothing()
Outcome = Honoured | Refused | Nothing


@dataclass(frozen=True, slots=True)
class Row:
    """One key of one file."""

    file: str
    key: str
    value: Any
    outcome: Outcome
    kind: str = "embedding"  # the plain checkpoint that it is tried on
    beside: Mapping[str, Any] | None = None  # other keys that it needs in the same file


def _dense(found: Checkpoint) -> Dense:
    assert found.head is not None
    [layer] = [one for one in found.head.layers if isinstance(one, Dense)]
    return layer


CONFIG, MODULES = "config.json", "modules.json"
ENCODER, SENTENCE = "sentence_bert_config.json", "config_sentence_transformers.json"
TOKENIZER, POOLING = "tokenizer_config.json", "1_Pooling/config.json"
LINEAR, NORM, UNIT = "2_Dense/config.json", "3_LayerNorm/config.json", "4_Normalize/config.json"
SPLADE, ANSWERS = "1_SpladePooling/config.json", "1_LogitScore/config.json"
ROWS: tuple[Row, ...] = (
    # config.json, without the keys that shape the encoder: transformers builds and converts that
    Row(CONFIG, "architectures", ["BertForMaskedLM"], Honoured(lambda c: c.architecture, "BertForMaskedLM")),
    Row(CONFIG, "auto_map", {"AutoModel": "m.M"}, Honoured(lambda c: c.brings_code, True)),
    Row(CONFIG, "hidden_size", 48, Honoured(lambda c: c.dimensions, 48), kind="plain"),
    Row(CONFIG, "vocab_size", 99, Honoured(lambda c: c.vocabulary_size, 99)),
    Row(CONFIG, "max_position_embeddings", 16, Honoured(lambda c: c.max_input_length, 16)),
    Row(CONFIG, "max_trained_positions", 16, Honoured(lambda c: c.max_input_length, 16), beside={"max_position_embeddings": None}),
    Row(CONFIG, "pad_token_id", 7, Honoured(lambda c: c.padding.id, 7)),
    Row(CONFIG, "eos_token_id", 9, Honoured(lambda c: c.padding.id, 9), beside={"pad_token_id": None}),
    Row(CONFIG, "id2label", {"0": "a", "1": "b", "2": "c"}, Honoured(lambda c: c.labels, ("a", "b", "c")), kind="classifier"),
    Row(CONFIG, "label2id", {"x": 0, "y": 1}, Honoured(lambda c: c.labels, ("x", "y")), kind="classifier", beside={"id2label": None}),
    Row(CONFIG, "problem_type", "multi_label_classification", Honoured(lambda c: c.activation, "sigmoid"), kind="classifier"),
    Row(CONFIG, "function_to_apply", "none", NOTHING, kind="classifier"),
    Row(CONFIG, "sentence_transformers", {"activation_fn": "torch.nn.modules.linear.Identity"}, NOTHING, kind="classifier"),
    Row(CONFIG, "sbert_ce_default_activation_function", "torch.nn.Identity", NOTHING, kind="classifier"),
    Row(CONFIG, "final_logit_softcapping", 30.0, Refused("final_logit_softcapping is not supported"), kind="causal"),
    Row(CONFIG, "logit_scale", 0.5, Refused("logit_scale is not supported"), kind="causal"),
    Row(CONFIG, "logits_scaling", 8.0, Refused("logits_scaling is not supported"), kind="causal"),
    Row(CONFIG, "lm_head_multiplier", 0.5, Refused("lm_head_multiplier is not supported"), kind="causal"),
    Row(CONFIG, "torch_dtype", "float16", NOTHING),
    Row(CONFIG, "dtype", "bfloat16", NOTHING),
    Row(CONFIG, "use_cache", True, NOTHING),
    Row(CONFIG, "output_hidden_states", True, NOTHING),
    Row(CONFIG, "transformers_version", "5.23.0", NOTHING),
    # modules.json
    Row(MODULES, "type", "sentence_transformers.models.CNN", Refused("sentence_transformers.models.CNN")),
    Row(MODULES, "path", "../elsewhere", Refused("leads out of the checkpoint")),
    Row(MODULES, "idx", 7, NOTHING),
    Row(MODULES, "name", "seven", NOTHING),
    Row(MODULES, "kwargs", ["task"], NOTHING),
    # sentence_bert_config.json and the older names of it
    Row(ENCODER, "max_seq_length", 8, Honoured(lambda c: c.max_input_length, 8)),
    Row(ENCODER, "do_lower_case", True, Honoured(lambda c: c.lower_case, True)),
    Row(ENCODER, "transformer_task", "feature-extraction", NOTHING),
    Row(ENCODER, "module_output_name", "token_embeddings", NOTHING),
    Row(ENCODER, "modality_config", {"message": {}}, Refused("modality_config with `message`")),
    Row(ENCODER, "processing_kwargs", {"text": {"max_length": 8}}, Honoured(lambda c: c.max_input_length, 8)),
    Row(ENCODER, "unpad_inputs", True, NOTHING),
    Row(ENCODER, "model_kwargs", {"num_hidden_layers": 1}, Refused("model_kwargs with num_hidden_layers")),
    Row(ENCODER, "model_args", {"num_hidden_layers": 1}, Refused("model_args with num_hidden_layers")),
    Row(ENCODER, "processor_kwargs", {"model_max_length": 8}, Honoured(lambda c: c.max_input_length, 8)),
    Row(ENCODER, "tokenizer_args", {"model_max_length": 8}, Honoured(lambda c: c.max_input_length, 8)),
    Row(ENCODER, "config_kwargs", {"hidden_act": "relu"}, Refused("config_kwargs with hidden_act")),
    Row(ENCODER, "config_args", {"hidden_act": "relu"}, Refused("config_args with hidden_act")),
    # config_sentence_transformers.json
    Row(SENTENCE, "prompts", {"query": "q: "}, Honoured(lambda c: c.prompts, {"query": "q: "})),
    Row(SENTENCE, "default_prompt_name", "query", Honoured(lambda c: c.default_prompt, "q: "), beside={"prompts": {"query": "q: "}}),
    Row(SENTENCE, "similarity_fn_name", "dot", Honoured(lambda c: c.similarity, "dot")),
    Row(SENTENCE, "truncate_dim", 4, Honoured(lambda c: c.dimensions, 4)),
    Row(SENTENCE, "model_type", "SentenceTransformer", NOTHING),
    Row(SENTENCE, "activation_fn", "torch.nn.modules.linear.Identity", NOTHING, kind="classifier"),
    Row(SENTENCE, "max_active_dims", 4, Refused("max_active_dims"), kind="splade"),
    Row(SENTENCE, "requirements", {"torch": ">=2"}, NOTHING),
    Row(SENTENCE, "__version__", {"sentence_transformers": "5.7.0"}, NOTHING),
    # config_sentence_transformers.json of ColBERT models, as PyLate writes it
    Row(SENTENCE, "query_prefix", "[Q]", Honoured(lambda c: c.prompts, {"query": "[Q]"}), kind="colbert"),
    Row(SENTENCE, "document_prefix", "[D]", Honoured(lambda c: c.prompts, {"document": "[D]"}), kind="colbert"),
    Row(SENTENCE, "document_length", 8, Honoured(lambda c: c.max_input_length, 8), kind="colbert"),
    Row(SENTENCE, "query_length", 8, NOTHING, kind="colbert"),
    Row(SENTENCE, "query_expansion", {"length": 8}, NOTHING, kind="colbert"),
    Row(SENTENCE, "do_query_expansion", True, NOTHING, kind="colbert"),
    Row(SENTENCE, "attend_to_expansion_tokens", True, NOTHING, kind="colbert"),
    Row(SENTENCE, "attend_to_mask_tokens", True, NOTHING, kind="colbert"),
    Row(SENTENCE, "skiplist_words", ["."], NOTHING, kind="colbert"),
    # tokenizer_config.json, without the keys that change tokens: those are transformers'
    Row(TOKENIZER, "model_max_length", 8, Honoured(lambda c: c.max_input_length, 8)),
    Row(TOKENIZER, "max_len", 8, Honoured(lambda c: c.max_input_length, 8)),
    Row(TOKENIZER, "truncation_side", "left", Honoured(lambda c: c.truncation_side, "left")),
    Row(TOKENIZER, "padding_side", "left", Honoured(lambda c: c.padding.side, "left")),
    Row(TOKENIZER, "pad_token_type_id", 3, Honoured(lambda c: c.padding.type_id, 3)),
    Row(TOKENIZER, "model_input_names", ["input_ids"], NOTHING),
    Row(TOKENIZER, "clean_up_tokenization_spaces", True, NOTHING),
    Row(TOKENIZER, "chat_template", "{{ messages }}", Honoured(lambda c: c.causal and c.causal.has_chat, True), kind="causal"),
    # 1_Pooling/config.json
    Row(POOLING, "pooling_mode", "cls", Honoured(lambda c: c.pooling, "cls")),
    Row(POOLING, "pooling_mode_cls_token", True, Honoured(lambda c: c.pooling, "cls"), kind="plain", beside={"pooling_mode": None}),
    Row(POOLING, "pooling_mode_mean_tokens", True, Honoured(lambda c: c.pooling, "mean"), kind="plain", beside={"pooling_mode": None}),
    Row(POOLING, "pooling_mode_max_tokens", True, Honoured(lambda c: c.pooling, "max"), kind="plain", beside={"pooling_mode": None}),
    Row(POOLING, "pooling_mode_mean_sqrt_len_tokens", True, Honoured(lambda c: c.pooling, "mean_sqrt_len_tokens"), kind="plain", beside={"pooling_mode": None}),
    Row(POOLING, "pooling_mode_weightedmean_tokens", True, Honoured(lambda c: c.pooling, "weightedmean"), beside={"pooling_mode": None}),
    Row(POOLING, "pooling_mode_lasttoken", True, Honoured(lambda c: c.pooling, "last_token"), kind="plain", beside={"pooling_mode": None}),
    Row(POOLING, "include_prompt", False, Honoured(lambda c: c.leaves_out_prompts, True)),
    Row(POOLING, "embedding_dimension", 32, NOTHING),
    Row(POOLING, "word_embedding_dimension", 32, NOTHING),
    # the config.json of further modules
    Row(LINEAR, "in_features", 48, Refused("takes 48 values, and gets 32")),
    Row(LINEAR, "out_features", 24, Refused("takes 16 values, and gets 24")),
    Row(LINEAR, "bias", False, Honoured(lambda c: _dense(c).bias, False)),
    Row(LINEAR, "activation_function", "torch.nn.modules.activation.ReLU", Honoured(lambda c: _dense(c).activation, "ReLU")),
    Row(LINEAR, "use_residual", True, Honoured(lambda c: _dense(c).residual, True)),
    Row(LINEAR, "module_input_name", "token_embeddings", Refused("module_input_name 'token_embeddings'")),
    Row(LINEAR, "module_output_name", "token_embeddings", Refused("module_output_name 'token_embeddings'")),
    Row(NORM, "dimension", 24, Refused("takes 24 values, and gets 16")),
    Row(UNIT, "module_input_name", "token_embeddings", Refused("module_input_name 'token_embeddings'")),
    Row(UNIT, "module_output_name", "token_embeddings", Refused("module_output_name 'token_embeddings'")),
    Row(SPLADE, "pooling_strategy", "sum", Honoured(lambda c: c.splade, Splade("sum")), kind="splade"),
    Row(SPLADE, "activation_function", "log1p_relu", Honoured(lambda c: c.splade, Splade(activation="log1p_relu")), kind="splade"),
    Row(SPLADE, "chunk_size", 8, NOTHING, kind="splade"),
    Row(SPLADE, "embedding_dimension", 100, NOTHING, kind="splade"),
    Row(SPLADE, "word_embedding_dimension", 100, NOTHING, kind="splade"),
    Row(ANSWERS, "true_token_id", 7, Honoured(lambda c: c.causal and c.causal.answers, LogitScore(7, 6)), kind="causal"),
    Row(ANSWERS, "false_token_id", None, Honoured(lambda c: c.causal and c.causal.answers, LogitScore(5, None)), kind="causal"),
    Row(ANSWERS, "module_input_name", "scores", Refused("module_input_name 'scores'"), kind="causal"),
)  # fmt: skip

_BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 32,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
_WORDS = {"added_tokens": [{"id": i, "content": text} for i, text in enumerate(("[Q]", "[D]"))]}
_OLD, _NEW = "sentence_transformers.models.", "sentence_transformers.sparse_encoder.models."


def _modules(*types: str) -> list[dict[str, Any]]:
    return [
        {
            "idx": i,
            "name": str(i),
            "type": kind,
            "path": f"{i}_{kind.rpartition('.')[2]}" if i else "",
        }
        for i, kind in enumerate(types)
    ]


def _embedding() -> dict[str, Any]:
    linear = {"activation_function": "torch.nn.modules.activation.Tanh", "bias": True}
    kinds = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize")
    return {
        CONFIG: _BERT,
        MODULES: _modules(*(_OLD + kind for kind in kinds)),
        POOLING: {"pooling_mode": "mean"},
        LINEAR: {"in_features": 32, "out_features": 16, **linear},
        NORM: {"dimension": 16},
    }


def _colbert() -> dict[str, Any]:
    linear = {"in_features": 32, "out_features": 16, "bias": False}
    identity = {"activation_function": "torch.nn.modules.linear.Identity"}
    return {
        CONFIG: _BERT,
        MODULES: _modules(f"{_OLD}Transformer", "pylate.models.Dense.Dense"),
        "1_Dense/config.json": linear | identity,
        "tokenizer.json": _WORDS,
    }


def _causal() -> dict[str, Any]:
    ranks = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    return {
        CONFIG: _BERT | {"architectures": ["Qwen3ForCausalLM"]},
        MODULES: _modules(f"{_OLD}Transformer", ranks),
        ANSWERS: {"true_token_id": 5, "false_token_id": 6, "module_input_name": "causal_logits"},
    }


def _kinds() -> dict[str, dict[str, Any]]:
    """Return the files of each plain checkpoint."""
    named = {"id2label": {"0": "no", "1": "yes"}}
    scores = {"architectures": ["BertForSequenceClassification"], **named}
    masked = {"architectures": ["BertForMaskedLM"]}
    sparse = (f"{_NEW}MLMTransformer", f"{_NEW}SpladePooling")
    return {
        "embedding": _embedding(),
        "plain": {CONFIG: _BERT, POOLING: {"pooling_mode": "weightedmean"}},
        "classifier": {CONFIG: _BERT | scores},
        "splade": {CONFIG: _BERT | masked, MODULES: _modules(*sparse)},
        "colbert": _colbert(),
        "causal": _causal(),
    }


def write(folder: Path, row: Row | None = None, kind: str = "embedding") -> Path:
    """Write a checkpoint's descriptions, plain or with the key of a row."""
    files: dict[str, Any] = {"tokenizer.json": {}} | _kinds()[row.kind if row else kind]
    if row is not None:
        given = {row.key: row.value, **(row.beside or {})}
        if row.file == MODULES:
            first, *rest = files[MODULES]
            last = rest.pop()
            files[MODULES] = [first, *rest, last | given]
        else:
            files[row.file] = files.get(row.file, {}) | given
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder
