"""Tiny models: one for each architecture and use, small enough to be made where they are tested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.model.names import Side, Task

Environment = Literal["transformers4", "transformers5"]

LENGTH = 48  # tokens that a model takes
_LABELS = {"id2label": {"0": "negative", "1": "neutral", "2": "positive"}}
_ONE_LABEL = {"id2label": {"0": "LABEL_0"}}
_QUERY = {"query": "Represent this sentence for searching relevant passages: ", "document": ""}
_INSTRUCTION = {"query": "Instruct: find passages that answer the question\nQuery: "}

# Drawn wide, so that different texts differ clearly and a wrong mask or pooling shows.
_ENCODER: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": LENGTH,
    "initializer_range": 0.3,
}
_OFFSET: Mapping[str, Any] = {
    **_ENCODER,
    "max_position_embeddings": LENGTH + 2,  # positions begin behind the padding id, which is 1
    "type_vocab_size": 1,
    "pad_token_id": 1,
}
_DECODER: Mapping[str, Any] = {
    **_ENCODER,
    "max_position_embeddings": 256,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


@dataclass(frozen=True)
class TinyModel:
    """A recipe: the class with its configuration, and what stands behind the encoder."""

    name: str
    model_class: str  # of transformers; the name in `architectures`
    tokenizer: str  # a key of FAMILIES
    config: Mapping[str, Any]
    task: Task = "embedding"
    pooling: str = "mean"  # in sentence-transformers' newer notation
    sides: tuple[Side, ...] = ("right",)  # on which a batch may be padded
    dense: int = 0  # outputs of a Dense layer behind the pooling; 0 for none
    prompts: Mapping[str, str] = field(default_factory=dict)
    include_prompt: bool = True  # whether the tokens of a prompt are pooled
    answers: bool = False  # whether it scores a pair by the next token, yes or no
    environment: Environment = "transformers4"


_TOKENIZERS = {"electra": "bert", "nomic": "bert", "gte": "xlm-roberta", "eurobert": "gemma"}


def _headed(
    name: str, family: str, config: Mapping[str, Any], environment: Environment = "transformers4"
) -> list[TinyModel]:
    """The three heads that an encoder may have in place of a pooling."""
    tokenizer = _TOKENIZERS.get(name, name)
    return [
        TinyModel(
            f"{name}-classifier",
            f"{family}ForSequenceClassification",
            tokenizer,
            {**config, **_LABELS},
            task="classifier",
            environment=environment,
        ),
        TinyModel(
            f"{name}-reranker",
            f"{family}ForSequenceClassification",
            tokenizer,
            {**config, **_ONE_LABEL},
            task="reranker",
            environment=environment,
        ),
        TinyModel(
            f"{name}-splade",
            f"{family}ForMaskedLM",
            tokenizer,
            config,
            task="splade",
            environment=environment,
        ),
    ]


_ALBERT = {**_ENCODER, "embedding_size": 16, "pad_token_id": 0, "num_hidden_groups": 1}
_ELECTRA = {**_ENCODER, "embedding_size": 16}
_DISTILBERT = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": LENGTH,
    "initializer_range": 0.3,
}
_DEBERTA = {
    **_ENCODER,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pad_token_id": 0,
}
_MODERNBERT = {
    **_ENCODER,
    "max_position_embeddings": 256,
    "num_hidden_layers": 4,
    "global_attn_every_n_layers": 3,
    "local_attention": 16,
    "initializer_cutoff_factor": 2.0,
    "pad_token_id": 0,
    "classifier_pooling": "mean",
}
_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 32,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": 0,
    "eos_token_id": 1,
}
_QWEN2 = {key: value for key, value in _DECODER.items() if key != "head_dim"} | {
    "pad_token_id": 0,
    "eos_token_id": 0,
    "rope_theta": 1_000_000.0,
}
_QWEN3 = {**_DECODER, "pad_token_id": 0, "eos_token_id": 0, "rope_theta": 1_000_000.0}
_LLAMA = {**_DECODER, "pad_token_id": 3, "eos_token_id": 2, "bos_token_id": 1}
_MISTRAL = {**_LLAMA, "sliding_window": 24}
_GEMMA3 = {
    **_DECODER,
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 8,
    "sliding_window": 24,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "use_bidirectional_attention": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
_NOMIC = {**_ENCODER, "type_vocab_size": 2, "pad_token_id": 0}
_GTE = {**_ENCODER, "type_vocab_size": 1, "pad_token_id": 1}
_EUROBERT = {
    **_DECODER,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "mask_token_id": 3,
}
_SCORING: tuple[tuple[Task, Mapping[str, Any]], ...] = (
    ("classifier", _LABELS),
    ("reranker", _ONE_LABEL),
)
_BOTH: tuple[Side, ...] = ("right", "left")

TINY_MODELS: tuple[TinyModel, ...] = (
    TinyModel("bert-mean", "BertModel", "bert", _ENCODER),
    TinyModel("bert-cls", "BertModel", "bert", _ENCODER, pooling="cls", prompts=_QUERY),
    TinyModel("bert-max", "BertModel", "bert", _ENCODER, pooling="max"),
    TinyModel(
        "bert-mean-without-prompt",
        "BertModel",
        "bert",
        _ENCODER,
        prompts=_QUERY,
        include_prompt=False,
    ),
    *_headed("bert", "Bert", _ENCODER),
    TinyModel("roberta-mean", "RobertaModel", "roberta", _OFFSET),
    *_headed("roberta", "Roberta", _OFFSET),
    TinyModel("xlm-roberta-cls", "XLMRobertaModel", "xlm-roberta", _OFFSET, pooling="cls"),
    *_headed("xlm-roberta", "XLMRoberta", _OFFSET),
    TinyModel("camembert-mean", "CamembertModel", "camembert", _OFFSET),
    *_headed("camembert", "Camembert", _OFFSET),
    TinyModel("distilbert-mean", "DistilBertModel", "distilbert", _DISTILBERT),
    *_headed("distilbert", "DistilBert", _DISTILBERT),
    TinyModel("mpnet-mean", "MPNetModel", "mpnet", _OFFSET),
    *_headed("mpnet", "MPNet", _OFFSET),
    TinyModel("albert-mean", "AlbertModel", "albert", _ALBERT),
    *_headed("albert", "Albert", _ALBERT),
    TinyModel("electra-mean", "ElectraModel", "bert", _ELECTRA),
    *_headed("electra", "Electra", _ELECTRA),
    TinyModel("deberta-v2-mean", "DebertaV2Model", "deberta-v2", _DEBERTA),
    *_headed("deberta-v2", "DebertaV2", _DEBERTA),
    TinyModel("modernbert-cls", "ModernBertModel", "modernbert", _MODERNBERT, pooling="cls"),
    *_headed("modernbert", "ModernBert", _MODERNBERT),
    TinyModel("t5-mean-dense", "T5EncoderModel", "t5", _T5, dense=24),
    TinyModel("t5-whole-mean", "T5ForConditionalGeneration", "t5", _T5),
    TinyModel("mt5-mean", "MT5EncoderModel", "t5", _T5),
    TinyModel(
        "qwen2-lasttoken",
        "Qwen2ForCausalLM",
        "qwen",
        _QWEN2,
        pooling="lasttoken",
        sides=_BOTH,
        prompts=_INSTRUCTION,
    ),
    TinyModel(
        "qwen3-lasttoken",
        "Qwen3ForCausalLM",
        "qwen",
        _QWEN3,
        pooling="lasttoken",
        sides=_BOTH,
        prompts=_INSTRUCTION,
    ),
    TinyModel(
        "qwen3-weightedmean-without-prompt",
        "Qwen3ForCausalLM",
        "qwen",
        _QWEN3,
        pooling="weightedmean",
        sides=_BOTH,
        prompts=_INSTRUCTION,
        include_prompt=False,
    ),
    TinyModel(
        "mistral-lasttoken", "MistralModel", "llama", _MISTRAL, pooling="lasttoken", sides=_BOTH
    ),
    TinyModel("llama-lasttoken", "LlamaModel", "llama", _LLAMA, pooling="lasttoken", sides=_BOTH),
    TinyModel("gemma3-mean-dense", "Gemma3TextModel", "gemma", _GEMMA3, dense=24, sides=_BOTH),
    *(
        TinyModel(
            f"{name}-{task}",
            f"{family}ForSequenceClassification",
            tokenizer,
            {**config, **labels},
            task=task,
            sides=_BOTH,
        )
        for name, family, tokenizer, config in (
            ("qwen2", "Qwen2", "qwen-classifier", _QWEN2),
            ("qwen3", "Qwen3", "qwen-classifier", _QWEN3),
            ("mistral", "Mistral", "llama", _MISTRAL),
            ("llama", "Llama", "llama", _LLAMA),
        )
        for task, labels in _SCORING
    ),
    TinyModel(
        "qwen3-yes-or-no",
        "Qwen3ForCausalLM",
        "qwen-reranker",
        _QWEN3,
        task="reranker",
        sides=_BOTH,
        answers=True,
    ),
    TinyModel("nomic-mean", "NomicBertModel", "bert", _NOMIC, environment="transformers5"),
    *_headed("nomic", "NomicBert", _NOMIC, "transformers5"),
    TinyModel(
        "gte-cls", "GteModel", "xlm-roberta", _GTE, pooling="cls", environment="transformers5"
    ),
    *_headed("gte", "Gte", _GTE, "transformers5"),
    TinyModel("eurobert-mean", "EuroBertModel", "gemma", _EUROBERT, environment="transformers5"),
    *_headed("eurobert", "EuroBert", _EUROBERT, "transformers5"),
)
