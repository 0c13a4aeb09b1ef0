"""Questions for every model: texts or pairs, some at its maximum length and some beyond."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from app.model.names import Task
from export import probe_texts
from tools.texts import passages

_COUNT = 20
_QUERIES = 3
_FILLER = " a"  # one token for every tokenizer here


@dataclass(frozen=True)
class Question:
    """A text, a pair of texts, or a text behind one of the model's prompts."""

    text: str
    other: str | None = None
    prompt_name: str | None = None


@dataclass(frozen=True)
class Asked:
    """The questions to one checkpoint."""

    folder: str
    task: Task
    questions: tuple[Question, ...]

    def content(self) -> dict[str, Any]:
        """The questions as JSON."""
        return asdict(self)


def ask(folder: Path, task: Task, max_length: int, prompts: Sequence[str] = ()) -> Asked:
    """Texts of many scripts and lengths; rerankers get pairs, classifiers some of both."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    short = probe_texts.texts(8)[::6]
    prose = passages(_COUNT, longest_words=max(8, max_length // 2))
    if task == "reranker":
        return Asked(str(folder), task, _pairs(tokenizer, [*short, *prose], max_length))
    edges = [
        _filled(lambda text: len(tokenizer.encode(text).ids), length, prose[0])
        for length in (max_length, max_length + 1)
    ]
    texts = [*short, *prose, *edges, f"{edges[0]} {prose[-1]}"]
    questions = [Question(text) for text in texts]
    if task == "classifier":
        questions += _pairs(tokenizer, prose[:8], max_length)
    questions += [Question(text, prompt_name=name) for name in prompts for text in prose[:2]]
    return Asked(str(folder), task, tuple(questions))


def _pairs(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> tuple[Question, ...]:
    """A few queries with every text, and with texts that fill and overfill the model."""
    queries = texts[:_QUERIES]
    found = [Question(query, text) for query in queries for text in texts[_QUERIES:]]

    def count(text: str) -> int:
        return len(tokenizer.encode(queries[0], text).ids)

    found += [
        Question(queries[0], _filled(count, length, "a")) for length in (max_length, max_length + 1)
    ]
    return tuple(found)


def _filled(count: Callable[[str], int], length: int, start: str) -> str:
    """Return a text of an exact number of tokens."""
    words = start.split()
    while count(" ".join(words)) > length - 1:
        words.pop()
    text = " ".join(words)
    while (found := count(text)) < length:
        text += _FILLER
    if found != length:
        raise ValueError(f"no text of {length} tokens was found, but one of {found}")
    return text
