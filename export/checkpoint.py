"""Checkpoint: what the files of a Hugging Face folder say about the model, read without torch.

Rules follow TEI 1.9.3 (router/src/lib.rs, backends/ort/src/lib.rs) where it has one; where it
would serve wrong vectors, or fail at the first long text, the rule here is stricter.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from app.inference.manifest import TOKENIZER_FILE, Padding, Pooling, Similarity, Task
from export import kinds, sentence_modules
from export.documents import Document
from export.errors import ExportError
from export.kinds import PoolingChoice
from export.sentence_modules import SentenceModules

# Families that count positions from pad_token_id + 1. TEI lists the first three.
_OFFSET_MODEL_TYPES = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
        "data2vec-text",
        "roberta-prelayernorm",
        "xlm-roberta-xl",
    }
)
_SENTENCE_CONFIGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The facts of a checkpoint that the manifest and the conversion need."""

    architecture: str
    model_type: str
    task: Task
    pooling: Pooling | None  # of embedding models
    dimensions: int  # of a vector; of classifiers and rerankers the number of logits
    max_input_length: int  # tokens, special tokens included
    vocabulary_size: int
    padding: Padding
    normalize: bool
    similarity: Similarity
    prompts: dict[str, str]
    default_prompt_name: str | None
    labels: tuple[str, ...] = ()  # of classifiers and rerankers, by position in the logits
    warnings: tuple[str, ...] = ()


def read(folder: Path, choice: PoolingChoice | None = None) -> Checkpoint:
    """Read the checkpoint in `folder`; `choice` overrides its own pooling.

    Raises: ExportError for a model that cannot be exported, with the reason.
    """
    config = _config(folder)
    architecture = kinds.architecture(config)
    labels = kinds.labels(architecture, config)
    # What a classifier yields is all in its architecture.
    modules = SentenceModules.silent() if labels else sentence_modules.read(folder)
    task = kinds.task(architecture, labels, modules, choice)
    model_type = config.value("model_type", str) or ""
    vocabulary_size = _required(config, "vocab_size")
    tokenizer = Document.read(folder / "tokenizer_config.json")
    sentence = _sentence_config(folder)
    prompts, default_prompt_name, similarity = _prompts_and_similarity(folder)
    if not modules.include_prompt and any(prompts.values()):
        raise ExportError(
            "pooling with include_prompt = false is not supported for a model with prompts: "
            "choose another model"
        )
    pooling = _pooling(modules, model_type, choice) if task == "embedding" else None
    return Checkpoint(
        architecture=architecture,
        model_type=model_type,
        task=task,
        pooling=pooling,
        dimensions=_dimensions(task, config, labels, vocabulary_size),
        max_input_length=_max_input_length(config, sentence, model_type),
        vocabulary_size=vocabulary_size,
        padding=_padding(config, tokenizer),
        normalize=modules.normalize,
        similarity=similarity,
        prompts=prompts,
        default_prompt_name=default_prompt_name,
        labels=labels,
        warnings=tuple(_warnings(task, modules, choice, sentence, tokenizer)),
    )


def _config(folder: Path) -> Document:
    config = Document.read(folder / "config.json")
    if not config:
        raise ExportError(f"{folder} has no config.json: it is not a Hugging Face model")
    if not (folder / TOKENIZER_FILE).is_file():
        raise ExportError(
            f"{folder} has no {TOKENIZER_FILE}: the model needs a fast tokenizer; load it with "
            "transformers.AutoTokenizer, save_pretrained() it beside a copy of the model, export "
            "that folder"
        )
    return config


def _pooling(modules: SentenceModules, model_type: str, choice: PoolingChoice | None) -> Pooling:
    if choice is not None and choice != "splade":
        return choice
    stated = modules.pooling()
    if stated is not None:
        return stated
    if "bert" in model_type.lower():
        return "cls"  # TEI 1.9.3 router/src/lib.rs, since 1.5.1
    raise ExportError(
        f"the checkpoint does not say how to pool, and {model_type or 'its model type'} has no "
        "usual way: name one with --pooling (POOLING=)"
    )


def _dimensions(task: Task, config: Document, labels: tuple[str, ...], vocabulary_size: int) -> int:
    if task == "embedding":
        return _required(config, "hidden_size", "dim", "d_model", "n_embd")
    return vocabulary_size if task == "splade" else len(labels)


def _required(config: Document, *keys: str) -> int:
    found = config.first_integer(*keys)
    if found is None or found < 1:
        raise ExportError(f"config.json has no usable `{keys[0]}`: the model is not supported")
    return found


def _max_input_length(config: Document, sentence: Document, model_type: str) -> int:
    """The stated maximum, but never more than the positions that the model has."""
    positions = config.first_integer("max_position_embeddings", "max_trained_positions")
    stated = sentence.value("max_seq_length", int)
    if positions is not None and model_type in _OFFSET_MODEL_TYPES:
        positions -= (config.first_integer("pad_token_id") or 0) + 1
    limits = [limit for limit in (stated, positions) if limit is not None]
    if not limits:
        raise ExportError(
            "neither `max_seq_length` in sentence_bert_config.json nor `max_position_embeddings` "
            "in config.json says how long an input may be: the model is not supported"
        )
    if min(limits) < 1:
        raise ExportError(f"the maximum input length is {min(limits)}: config.json is damaged")
    return min(limits)


def _padding(config: Document, tokenizer: Document) -> Padding:
    side = tokenizer.value("padding_side", str) or "right"
    if side not in {"left", "right"}:
        raise ExportError(f"tokenizer_config.json: padding_side: {side!r} is not left or right")
    pad_id = config.first_integer("pad_token_id", "eos_token_id") or 0
    type_id = tokenizer.value("pad_token_type_id", int) or 0
    return Padding(id=pad_id, type_id=type_id, side="left" if side == "left" else "right")


def _sentence_config(folder: Path) -> Document:
    for name in _SENTENCE_CONFIGS:
        document = Document.read(folder / name)
        if document:
            return document
    return Document(folder, {})


def _prompts_and_similarity(folder: Path) -> tuple[dict[str, str], str | None, Similarity]:
    path = folder / "config_sentence_transformers.json"
    document = Document.read(path)
    prompts = document.value("prompts", dict) or {}
    if not all(isinstance(text, str) for text in prompts.values()):
        raise ExportError(f"{path}: prompts: every prompt must be a string")
    name = document.value("default_prompt_name", str)
    if name is not None and name not in prompts:
        raise ExportError(f"{path}: default_prompt_name: {name!r} is not one of the prompts")
    stated = document.value("similarity_fn_name", str) or "cosine"
    for similarity in get_args(Similarity):
        if stated == similarity:
            return prompts, name, similarity
    raise ExportError(f"{path}: similarity_fn_name: {stated!r} is not supported")


def _warnings(
    task: Task,
    modules: SentenceModules,
    choice: PoolingChoice | None,
    sentence: Document,
    tokenizer: Document,
) -> list[str]:
    warnings = []
    if task == "embedding" and choice is None and not modules.pooling_modes:
        warnings.append(
            "the checkpoint does not say how to pool; using cls, as is usual for BERT: name "
            "another with --pooling (POOLING=)"
        )
    if task in {"classifier", "reranker"} and choice is not None:
        warnings.append(f"--pooling is ignored: the model is a {task}, which does not pool by it")
    if sentence.value("do_lower_case", bool) and not tokenizer.value("do_lower_case", bool):
        warnings.append(
            "sentence_bert_config.json asks for do_lower_case, which tokenizer.json decides here: "
            "send lower-case texts if the tokenizer keeps case"
        )
    return warnings
