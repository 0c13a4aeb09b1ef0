"""Checkpoint: what the files of a Hugging Face folder say about the model, read without torch.

Rules follow TEI 1.9.3 (router/src/lib.rs, backends/ort/src/lib.rs) if it has one; they are stricter
if TEI would serve wrong vectors, or fail at the first long text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.model.lookup.hub_cache import MODULES_FILE
from app.model.manifest import TOKENIZER_FILE
from app.model.names import Activation, PoolingChoice, Side, Similarity, Task
from app.model.pair_text import PairText
from app.model.parts import Padding
from export.checkpoint import kinds, limits, model_kind, outputs
from export.checkpoint.causal import Causal
from export.checkpoint.model_kind import ModelKind
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
from export.config.layers import Head, Layer, TokenHeads
from export.config.logit_score import LogitScore
from export.config.sentence_modules import SentenceModules
from export.config.sentence_settings import SentenceSettings
from export.config.splade import USUAL, Splade
from export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The facts of a checkpoint that the manifest and the conversion need."""

    folder: Path  # of the encoder's files
    tokenizer: Path  # its own file, or one that was made of the others
    architecture: str
    model_type: str
    task: Task
    head: Head | None  # of embedding models
    encoder_width: int  # of a token's vector; `dimensions` if the model does not embed
    dimensions: int  # of a vector; of classifiers and rerankers the number of logits
    max_input_length: int  # tokens, special tokens included
    places: int | None  # positions for tokens; None if the model has no limit
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
        """Return the checkpoint with how it reads a pair, and which tokens it answers with."""
        scored = None if self.causal is None else replace(self.causal, answers=answers)
        return replace(self, pair_text=pair_text, causal=scored)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer behind the encoder, for the vector and for tokens."""
        return (*(self.head.layers if self.head else ()), *self.tokens.layers)

    @property
    def default_prompt(self) -> str:
        """The prompt that goes before a text for which none is named; "" for none."""
        name = self.default_prompt_name
        return "" if name is None else self.prompts[name]

    @property
    def leaves_out_prompts(self) -> bool:
        """True if the tokens of a prompt are attended to, and not pooled."""
        return self.head is not None and not self.head.include_prompt

    @property
    def pooling_source(self) -> str | None:
        """The source of the pooling of an embedding model: an option, a file, or a publication."""
        return self.decision.source if self.decision and self.head else None

    @property
    def choice(self) -> PoolingChoice | None:
        """The pooling that replaces the one in the checkpoint's files, if any."""
        return self.decision.choice if self.decision else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the operator before the model is made."""
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
    """Read the checkpoint in `folder`; `choice` replaces its pooling, `tokenizer` that file of it.

    If its files do not say how to pool, the pooling published under its Hub id counts. If there is
    none, `may_be_silent` allows a head without poolings, and a decision with a doubt.

    Raises: ExportError for a model that cannot be exported, with the reason.
    """
    modules = _modules(folder)
    encoder = folder / modules.encoder
    config = _config(encoder)
    if clip.is_clip(kinds.architecture(config)):
        modules = clip.pooled(modules, choice)
    kind = model_kind.find(folder, config, modules, choice, model_id)
    if kind.task == "embedding" and kind.decision.doubt is not None and not may_be_silent:
        raise ExportError(kind.decision.doubt)
    checkpoint = _checkpoint(folder, config, modules, kind, tokenizer or encoder / TOKENIZER_FILE)
    if kind.task == "multi_vector":
        return checkpoint
    return replace(checkpoint, warnings=tuple(_warnings(kind.task, choice)))


def _checkpoint(
    folder: Path, config: Document, modules: SentenceModules, kind: ModelKind, tokenizer: Path
) -> Checkpoint:
    """Put together what the files of a model of this kind say."""
    task, labels, scored = kind.task, kind.labels, kind.scored
    encoder = folder / modules.encoder
    model_type = config.value("model_type", str) or ""
    settings_of_tokenizer = Document.read(encoder / "tokenizer_config.json")
    # Without modules.json no library reads these for scores or sparse vectors.
    is_read = task in {"embedding", "multi_vector"} or (folder / MODULES_FILE).is_file()
    texts = encoder_settings.read(encoder, chats=task == "reranker") if is_read else NO_SETTINGS
    settings = sentence_settings.read(folder)
    compares = task == "multi_vector"
    stated = settings.document_length if compares else None
    places = limits.places(config, model_type)
    width = outputs.encoder_width(task, config, labels)
    head, dimensions = outputs.vector(
        task, modules, kind.decision.choice, width, settings.truncate_dim
    )
    tokens = TokenHeads()
    if compares:
        tokens = TokenHeads(multi_vector=modules.token_layers)
    elif task == "embedding":
        tokens = token_heads.read(encoder, width, tokenizer)
    elif task == "splade" and settings.max_active_dims is not None:
        raise ExportError(
            f"{folder}: max_active_dims {settings.max_active_dims} is not supported: only so many "
            "of the largest values would be kept"
        )
    return Checkpoint(
        folder=encoder,
        tokenizer=tokenizer,
        architecture=kinds.architecture(config),
        model_type=model_type,
        task=task,
        head=head,
        encoder_width=width,
        dimensions=dimensions,
        max_input_length=limits.max_input_length(
            stated or texts.max_length, settings_of_tokenizer, places
        ),
        places=places,
        vocabulary_size=outputs.required(config, "vocab_size"),
        padding=limits.padding(config, settings_of_tokenizer),
        truncation_side=limits.truncation_side(settings_of_tokenizer),
        normalize=modules.normalize,
        similarity=settings.similarity,
        prompts=settings.colbert_prompts(tokenizer) if compares else settings.prompts,
        default_prompt_name=_default_prompt_name(task, folder, settings, scored),
        brings_code=kinds.brings_code(config),
        lower_case=texts.lower_case and keeps_case(tokenizer),
        labels=labels,
        counts_labels=bool(labels) and scored is None and not kinds.names_labels(config),
        activation=kinds.activation(config, labels),
        tokens=tokens,
        splade=(modules.splade or USUAL) if task == "splade" else None,
        causal=scored,
        warnings=tuple(settings.colbert_warnings(tokenizer)) if compares else (),
        decision=kind.decision,
    )


def _modules(folder: Path) -> SentenceModules:
    """Read the modules behind the encoder; a classifier has none but those of its architecture."""
    config = Document.read(folder / "config.json")
    if any(name.endswith("Classification") for name in config.texts("architectures")):
        return SentenceModules.silent()
    return sentence_modules.read(folder)


def _config(folder: Path) -> Document:
    config = Document.read(folder / "config.json")
    if not config:
        raise ExportError(f"{folder} has no config.json: it is not a Hugging Face model")
    Document.read(folder / TOKENIZER_FILE)  # transformers would not name this file if it is damaged
    return clip.text_side(config, folder / "config.json")


def _default_prompt_name(
    task: Task, folder: Path, settings: SentenceSettings, scored: Causal | None
) -> str | None:
    """Return the name of the prompt that sentence-transformers puts before each text, if any."""
    name = settings.default_prompt_name
    if scored is not None and scored.has_chat:  # then it is a message of the chat, in the pair text
        return None
    if name is None or task in {"embedding", "splade"}:
        return name
    if (folder / MODULES_FILE).is_file() and settings.prompts[name]:
        raise ExportError(
            f"{folder}: default_prompt_name {name!r} is not supported, since the model is a {task}"
        )
    return None


def _warnings(task: Task, choice: PoolingChoice | None) -> Iterator[str]:
    if task in {"classifier", "reranker"} and choice is not None:
        yield f"--pooling is ignored: the model is a {task}, which does not pool by it"
