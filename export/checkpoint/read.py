"""Checkpoint: what the files of a Hugging Face folder say about the model, read without torch.

Rules follow TEI 1.9.3 (router/src/lib.rs, backends/ort/src/lib.rs) where it has one; where it
would serve wrong vectors, or fail at the first long text, the rule here is stricter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.model.lookup.hub_cache import MODULES_FILE
from app.model.manifest import TOKENIZER_FILE
from app.model.names import Activation, PoolingChoice, Side, Similarity, Task
from app.model.pair_text import PairText
from app.model.parts import Padding
from export.checkpoint import causal, kinds, pooling_source
from export.checkpoint.causal import Causal
from export.checkpoint.pooling_source import Decision
from export.checkpoint.tokenizer_file import keeps_case
from export.config import (
    clip,
    encoder_settings,
    sentence_modules,
    sentence_settings,
    token_heads,
)
from export.config.documents import Document
from export.config.encoder_settings import NO_SETTINGS
from export.config.layers import Head, Layer, TokenHeads, width_behind
from export.config.logit_score import LogitScore
from export.config.sentence_modules import SentenceModules
from export.config.sentence_settings import (
    SentenceSettings,
    colbert_prompts,
    colbert_warnings,
)
from export.config.splade import USUAL, Splade
from export.errors import ExportError

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
_ONE_LABEL = ("LABEL_0",)  # as transformers calls it, of a model that has no labels by itself
_NO_LIMIT = 1_000_000  # transformers writes 1e30 where a tokenizer has none


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The facts of a checkpoint that the manifest and the conversion need."""

    folder: Path  # of the encoder's files
    tokenizer: Path  # its own file, or one that was made of the others
    architecture: str
    model_type: str
    task: Task
    head: Head | None  # of embedding models
    encoder_width: int  # of a token behind the encoder; of others than embedders as dimensions
    dimensions: int  # of a vector; of classifiers and rerankers the number of logits
    max_input_length: int  # tokens, special tokens included
    places: int | None  # tokens that the model has positions for; None where it counts none
    vocabulary_size: int
    padding: Padding
    truncation_side: Side  # where an input is cut unless a request says otherwise
    normalize: bool
    similarity: Similarity
    prompts: dict[str, str]
    default_prompt_name: str | None
    brings_code: bool = False  # whether its repository holds an implementation of its own
    lower_case: bool = False  # whether texts are to be lower-cased before the tokenizer sees them
    labels: tuple[str, ...] = ()  # of classifiers and rerankers, by position in the logits
    counts_labels: bool = False  # whether transformers must be told how many there are
    activation: Activation | None = None  # of classifiers and rerankers: makes scores of logits
    tokens: TokenHeads = field(default_factory=TokenHeads)
    splade: Splade | None = None  # of SPLADE models
    causal: Causal | None = None  # of rerankers that are causal language models
    pair_text: PairText | None = None  # how a reranker reads a pair, once that has been asked
    decision: Decision | None = None  # how it is pooled, of embedding models
    warnings: tuple[str, ...] = ()

    @property
    def converted_as(self) -> Task:
        """The kind of model that is converted; the score of a causal reranker is added to it."""
        return self.task if self.causal is None else "embedding"

    def reading(self, pair_text: PairText | None, answers: LogitScore | None) -> "Checkpoint":
        """The checkpoint with how it reads a pair, and which tokens it answers with."""
        scored = None if self.causal is None else replace(self.causal, answers=answers)
        return replace(self, pair_text=pair_text, causal=scored)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer behind the encoder, of its vector and of its tokens."""
        return (*(self.head.layers if self.head else ()), *self.tokens.layers)

    @property
    def default_prompt(self) -> str:
        """The prompt that goes before a text for which none is named; "" for none."""
        name = self.default_prompt_name
        return "" if name is None else self.prompts[name]

    @property
    def leaves_out_prompts(self) -> bool:
        """Whether the tokens of a prompt are attended to, and not pooled."""
        return self.head is not None and not self.head.include_prompt

    @property
    def pooling_source(self) -> str | None:
        """Who says how an embedding model is pooled: an option, a file, or a publication."""
        return self.decision.source if self.decision and self.head else None

    @property
    def choice(self) -> PoolingChoice | None:
        """What replaces the pooling of the checkpoint's own files, if anything."""
        return self.decision.choice if self.decision else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a line before the model is made."""
        if self.causal is not None:
            return (self.causal.note,)
        source = self.pooling_source
        return () if source is None else (f"pooling: {self.pooling} (by {source})",)

    @property
    def pooling(self) -> str | None:
        """The pooling of an embedding model in one word."""
        return None if self.head is None else self.head.pooling


def read(
    folder: Path,
    choice: PoolingChoice | None = None,
    model_id: str = "",
    *,
    may_be_silent: bool = False,
    tokenizer: Path | None = None,
) -> Checkpoint:
    """Read the checkpoint in `folder`; `choice` overrides its pooling, `tokenizer` that file.

    Where its files do not say how to pool, what is published under its id on the Hub counts; where
    nobody says it, one that may be silent has a head without poolings, and a doubt.

    Raises: ExportError for a model that cannot be exported, with the reason.
    """
    modules = _modules(folder)
    encoder = folder / modules.encoder
    config = _config(encoder)
    architecture = kinds.architecture(config)
    if clip.is_clip(architecture):
        modules = clip.pooled(modules, choice)
    scored = causal.find(folder, config, modules, model_id or folder.resolve().name)
    if scored is not None:
        causal.refuse_pooling(scored, choice)
    labels = kinds.labels(architecture, config, encoder) if scored is None else _ONE_LABEL
    decision = pooling_source.decide(
        choice, modules, "" if labels else model_id, architecture, folder
    )
    task = (
        kinds.task(architecture, labels, modules, decision.choice) if scored is None else "reranker"
    )
    if task == "embedding" and decision.doubt is not None and not may_be_silent:
        raise ExportError(decision.doubt)
    model_type = config.value("model_type", str) or ""
    tokenizer = tokenizer or encoder / TOKENIZER_FILE
    settings_of_tokenizer = Document.read(encoder / "tokenizer_config.json")
    # Without modules.json no library reads them to score, or to make sparse vectors.
    is_read = task in {"embedding", "multi_vector"} or (folder / MODULES_FILE).is_file()
    texts = encoder_settings.read(encoder, chats=task == "reranker") if is_read else NO_SETTINGS
    settings = sentence_settings.read(folder)
    compares = task == "multi_vector"
    stated = settings.document_length if compares else None
    places = _places(config, model_type)
    width = _dimensions(task, config, labels)
    found = Checkpoint(
        folder=encoder,
        tokenizer=tokenizer,
        architecture=architecture,
        model_type=model_type,
        task=task,
        head=_head(modules, decision.choice) if task == "embedding" else None,
        encoder_width=width,
        dimensions=width,
        max_input_length=_max_input_length(
            stated or texts.max_length, settings_of_tokenizer, places
        ),
        places=places,
        vocabulary_size=_required(config, "vocab_size"),
        padding=_padding(config, settings_of_tokenizer),
        truncation_side=_side(settings_of_tokenizer, "truncation_side"),
        normalize=modules.normalize,
        similarity=settings.similarity,
        prompts=colbert_prompts(tokenizer, settings) if compares else settings.prompts,
        default_prompt_name=_default_prompt_name(task, folder, settings, scored),
        brings_code=kinds.brings_code(config),
        lower_case=texts.lower_case and keeps_case(tokenizer),
        labels=labels,
        counts_labels=bool(labels) and scored is None and not kinds.names_labels(config),
        activation=kinds.activation(config, labels),
        tokens=_tokens(task, modules, config, encoder, tokenizer),
        splade=(modules.splade or USUAL) if task == "splade" else None,
        causal=scored,
        warnings=tuple(
            colbert_warnings(tokenizer, settings) if compares else _warnings(task, choice)
        ),
        decision=decision,
    )
    if task == "splade" and settings.max_active_dims is not None:
        raise ExportError(
            f"{folder}: max_active_dims {settings.max_active_dims} is not supported: only so many "
            "of the largest values would be kept"
        )
    if compares:
        return _projected(found, settings)
    return found if found.head is None else _headed(found, found.head, settings)


def _modules(folder: Path) -> SentenceModules:
    """What stands behind the encoder; what a classifier yields is all in its architecture."""
    config = Document.read(folder / "config.json")
    if any(name.endswith("Classification") for name in config.texts("architectures")):
        return SentenceModules.silent()
    return sentence_modules.read(folder)


def _config(folder: Path) -> Document:
    config = Document.read(folder / "config.json")
    if not config:
        raise ExportError(f"{folder} has no config.json: it is not a Hugging Face model")
    Document.read(folder / TOKENIZER_FILE)  # which transformers would not name as damaged
    return clip.text_side(config, folder / "config.json")


def _head(modules: SentenceModules, choice: PoolingChoice | None) -> Head:
    poolings = modules.poolings
    if choice is not None and choice != "splade":
        if modules.layers:
            raise ExportError(
                f"--pooling {choice} is not possible: the model has layers behind its own pooling"
            )
        poolings = (choice,)
    return Head(poolings, modules.layers, include_prompt=modules.include_prompt)


def _tokens(
    task: Task, modules: SentenceModules, config: Document, folder: Path, tokenizer: Path
) -> TokenHeads:
    """What an embedder makes of each token by itself."""
    if task == "multi_vector":
        return TokenHeads(multi_vector=modules.token_layers)
    if task == "embedding":
        return token_heads.read(folder, _dimensions(task, config, ()), tokenizer)
    return TokenHeads()


def _headed(found: Checkpoint, head: Head, settings: SentenceSettings) -> Checkpoint:
    """The checkpoint with the width of its vectors behind all layers."""
    width = _width_behind(head.layers, found.dimensions * max(1, len(head.poolings)))
    cut = settings.truncate_dim
    if cut is None or cut >= width:
        return replace(found, dimensions=width)
    return replace(found, dimensions=cut, head=replace(head, cut=cut))


def _projected(found: Checkpoint, settings: SentenceSettings) -> Checkpoint:
    """The checkpoint with the width of its tokens' vectors."""
    width = _width_behind(found.tokens.multi_vector, found.dimensions)
    if settings.truncate_dim is not None and settings.truncate_dim < width:
        raise ExportError(
            f"truncate_dim {settings.truncate_dim} is not supported for vectors of tokens"
        )
    return replace(found, dimensions=width)


def _width_behind(layers: tuple[Layer, ...], width: int) -> int:
    try:
        return width_behind(layers, width)
    except ValueError as error:
        raise ExportError(f"the layers of modules.json do not fit together: {error}") from None


def _dimensions(task: Task, config: Document, labels: tuple[str, ...]) -> int:
    if task in {"embedding", "multi_vector"}:
        return _required(config, "hidden_size", "dim", "d_model", "n_embd")
    return _required(config, "vocab_size") if task == "splade" else len(labels)


def _required(config: Document, *keys: str) -> int:
    found = config.first_integer(*keys)
    if found is None or found < 1:
        raise ExportError(f"config.json has no usable `{keys[0]}`: the model is not supported")
    return found


def _places(config: Document, model_type: str) -> int | None:
    """How many tokens have a position of their own, less those that a family leaves unused."""
    positions = config.first_integer("max_position_embeddings", "max_trained_positions")
    if positions is None or positions < 0:  # XLNet has none, and says -1
        return None
    if model_type in _OFFSET_MODEL_TYPES:
        positions -= (config.first_integer("pad_token_id") or 0) + 1
    return positions


def _max_input_length(stated: int | None, tokenizer: Document, places: int | None) -> int:
    """The stated maximum or else the tokenizer's, but never more than the model has places for."""
    own = tokenizer.first_integer("model_max_length", "max_len")
    if stated is None and own is not None and own < _NO_LIMIT:
        stated = own
    limits = [limit for limit in (stated, places) if limit is not None]
    if not limits:
        raise ExportError(
            "neither `max_seq_length` in sentence_bert_config.json nor `max_position_embeddings` "
            "in config.json nor `model_max_length` in tokenizer_config.json says how long an input "
            "may be: the model is not supported"
        )
    if min(limits) < 1:
        raise ExportError(
            f"the maximum input length is {min(limits)}: config.json, sentence_bert_config.json or "
            "tokenizer_config.json is damaged"
        )
    return min(limits)


def _default_prompt_name(
    task: Task, folder: Path, settings: SentenceSettings, scored: Causal | None
) -> str | None:
    """The prompt that goes before each text, as sentence-transformers puts it there."""
    name = settings.default_prompt_name
    if scored is not None and scored.has_chat:  # it is a message of the chat: of its pair text
        return None
    if name is None or task in {"embedding", "splade"}:
        return name
    if (folder / MODULES_FILE).is_file() and settings.prompts[name]:
        raise ExportError(
            f"{folder}: default_prompt_name {name!r} is not supported, since the model is a {task}"
        )
    return None


def _padding(config: Document, tokenizer: Document) -> Padding:
    pad_id = config.first_integer("pad_token_id", "eos_token_id") or 0
    type_id = tokenizer.value("pad_token_type_id", int) or 0
    return Padding(id=pad_id, type_id=type_id, side=_side(tokenizer, "padding_side"))


def _side(tokenizer: Document, key: str) -> Side:
    side = tokenizer.value(key, str) or "right"
    if side not in {"left", "right"}:
        raise ExportError(f"tokenizer_config.json: {key}: {side!r} is not left or right")
    return "left" if side == "left" else "right"


def _warnings(task: Task, choice: PoolingChoice | None) -> Iterator[str]:
    if task in {"classifier", "reranker"} and choice is not None:
        yield f"--pooling is ignored: the model is a {task}, which does not pool by it"
