"""Causal rerankers: language models that score a pair by the next token that they predict.

The score is the logit of one token, "yes", less that of another, "no". This module tells from files
whether a checkpoint is such a model; how it reads a pair is found out by running it in
sentence-transformers (`chats`). A reranker cannot be exported as an embedding model by --pooling.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from app.model.names import PoolingChoice
from export.checkpoint import model_card
from export.config.documents import Document, read_json
from export.config.logit_score import LogitScore
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError

_GENERATOR = "ForCausalLM"
_RANKS = "text-ranking"  # the Hub's word for it in a model card
_EMBEDS = frozenset({"feature-extraction", "sentence-similarity"})
_ROLES = tuple(re.compile(rf"""(['"]){role}\1""") for role in ("query", "document"))
_SOFTCAPPING = "final_logit_softcapping"  # soft-caps logits after the last layer
_FACTORS = ("logit_scale", "logits_scaling", "lm_head_multiplier")  # of logits; 1 has no effect

# The template that Qwen3-Reranker was trained with: it is in the model card, and in no file.
_QWEN = re.compile(r"qwen3-reranker", re.IGNORECASE)
_QWEN_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n"
    "<Query>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}"
    "\n<Document>: "
    "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}"
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>{{ '\\n\\n' }}"
)


@dataclass(frozen=True, slots=True)
class Causal:
    """A reranker that is a causal language model."""

    source: str  # what says so: a file, or the model's name
    answers: LogitScore | None = None  # None: the tokens "yes" and "no"
    template: str | None = None  # of its chat, if no file has one that carries a pair
    has_chat: bool = True  # whether a pair goes through a chat template

    @property
    def note(self) -> str:
        """A line for the operator before the model is made."""
        return f"reranker: it scores a pair by the next token (by {self.source})"


def find(folder: Path, config: Document, modules: SentenceModules, name: str) -> Causal | None:
    """Return the causal reranker in `folder`, if its files or its name say that it is one.

    Raises: ExportError if no file has its prompt, or if its configuration changes the logits.
    """
    encoder = folder / modules.encoder
    found = _found(folder, encoder, config, modules, name)
    if found is None:
        return None
    changed = [key for key in _FACTORS if config.number(key) not in {None, 1}]
    if config.number(_SOFTCAPPING):
        changed.append(_SOFTCAPPING)
    if changed:
        raise ExportError(f"config.json: {changed[0]} is not supported: choose another reranker")
    return found


def refuse_pooling(found: Causal, choice: PoolingChoice | None) -> None:
    """Raise ExportError if an option asks for an embedding model."""
    if choice is not None:
        raise ExportError(
            f"--pooling {choice.replace('_', '-')} (POOLING=) is not possible: the model is a "
            f"reranker (by {found.source}), which scores a pair by the next token and pools nothing"
        )


def carries_pairs(encoder: Path) -> bool:
    """Check whether a checkpoint's chat template has the roles of a query and a document."""
    template = _template(encoder)
    return template is not None and all(role.search(template) for role in _ROLES)


def _found(
    folder: Path, encoder: Path, config: Document, modules: SentenceModules, name: str
) -> Causal | None:
    template = _template(encoder)
    if modules.logit_score is not None:
        return Causal("modules.json", modules.logit_score, has_chat=template is not None)
    names = config.texts("architectures")
    tag = model_card.pipeline_tag(folder)
    if (folder / "modules.json").is_file() or modules.says_how_to_pool or tag in _EMBEDS:
        return None
    if not names or not names[0].endswith(_GENERATOR):
        return None
    if carries_pairs(encoder):
        return Causal("the roles in its chat template")
    if _QWEN.search(name):
        return Causal("its name: Qwen's model card says how", template=_QWEN_TEMPLATE)
    if tag == _RANKS or "rerank" in name.lower():
        who = f"its model card says {_RANKS}" if tag == _RANKS else "by its name"
        raise ExportError(
            f"the model is a reranker ({who}), and no file says in which words it was trained to "
            "read a query and a document: give it a chat_template.jinja with the roles `query` and "
            "`document`, or choose another model"
        )
    return None


def _template(encoder: Path) -> str | None:
    """Return the text of a checkpoint's chat templates, or None if it has none."""
    file = encoder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    config = read_json(encoder / "tokenizer_config.json")
    for content in (read_json(encoder / "chat_template.json"), config):
        found = content.get("chat_template") if isinstance(content, dict) else None
        if found:  # one template, or several by name
            return found if isinstance(found, str) else str(found)
    return None
