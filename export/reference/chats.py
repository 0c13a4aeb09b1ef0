"""Chats: how sentence-transformers' CrossEncoder reads a pair, found out by running it.

A model with a chat template is given a pair as two messages, which the template makes one text of.
The words around both are found by rendering pairs, never by reading the template; a template that
does anything else to them is refused.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from app.model.pair_text import PairText
from export.checkpoint.read import Checkpoint
from export.config.logit_score import LogitScore
from export.errors import ExportError
from export.graph.score_column import Column

_MARKS = ("qqzx", "ddyw")  # a query and a document that are in no template
_FILLERS = ("0", "1 2 3 4")  # no tokenizer ends both in the same token
_PAIRS = (
    ("  two  words \n", "\n\n a line\tand another \r\n"),
    ("", "nothing is asked"),
    ("nothing is answered", ""),
    ("the same", "the same"),
    ("{{ a }} {% b %} {# c #} ${d}", "<b>&amp; \"quoted\" 'single' \\n back\\slash</b>"),
    ("<|im_end|>", "你好，世界\n\nnaïve café"),
    ("\u00a0wide\u2028", "\ufeff\u200b and zero-width \u3000"),
)
_OF_CHAT, _OF_COLUMN = "chat.json", "column.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Chat:
    """The way a reranker reads a pair, and a causal one scores it."""

    pair_text: PairText | None = None  # None: by the tokenizer's own rule for pairs
    answers: LogitScore | None = None
    column: Column | None = None

    def write(self, folder: Path) -> None:
        """Write it to files in `folder`, for another process."""
        content = {
            "pair_text": asdict(self.pair_text) if self.pair_text else None,
            "answers": asdict(self.answers) if self.answers else None,
        }
        (folder / _OF_CHAT).write_text(json.dumps(content), encoding="utf-8")
        if self.column is not None:
            self.column.write(folder / _OF_COLUMN)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote; return an empty chat if there are no files."""
        if not (folder / _OF_CHAT).is_file():
            return cls()
        found = json.loads((folder / _OF_CHAT).read_text(encoding="utf-8"))
        text, answers = found["pair_text"], found["answers"]
        return cls(
            PairText(**{**text, "ending": tuple(text["ending"])}) if text else None,
            LogitScore(**answers) if answers else None,
            Column.read(folder / _OF_COLUMN) if (folder / _OF_COLUMN).is_file() else None,
        )


def ask(model: Any, checkpoint: Checkpoint) -> Chat:
    """Find out how a CrossEncoder reads a pair; it must be known to run.

    Raises: ExportError if its chat template does more than put words around a pair, if it cuts
    long pairs in an unsupported way, or if its tokenizer lacks the tokens that it answers with.
    """
    transformer = model[0]
    pair_text = None
    if "message" in transformer.modality_config:
        pair_text = _cut(model, _described(model), checkpoint.max_input_length)
    if checkpoint.causal is None:
        return Chat(pair_text)
    answers = LogitScore(model[-1].true_token_id, model[-1].false_token_id)
    if checkpoint.causal.answers is None:
        ids = [answers.true_id, answers.false_id]
        if transformer.tokenizer.convert_ids_to_tokens(ids) != ["yes", "no"]:
            raise ExportError(
                "the tokenizer has no tokens `yes` and `no` for the model to answer with: save it "
                "with sentence-transformers' CrossEncoder and a LogitScore that names its tokens"
            )
    return Chat(pair_text, answers, _column(transformer.model.get_output_embeddings(), answers))


def _column(layer: Any, answers: LogitScore) -> Column:
    weight, bias = layer.weight.detach().numpy(), getattr(layer, "bias", None)
    shift = None if bias is None else bias.detach().numpy()
    row = weight[answers.true_id]
    value = 0.0 if shift is None else float(shift[answers.true_id])
    if answers.false_id is not None:
        row = row - weight[answers.false_id]
        value -= 0.0 if shift is None else float(shift[answers.false_id])
    return Column(row.copy(), value)


def _prompt(model: Any) -> str | None:
    """Return the prompt before every pair, which is a system message of the chat."""
    name = model.default_prompt_name
    return None if name is None else model.prompts.get(name) or None


def _rendered(model: Any, pair: tuple[str, str]) -> str:
    """Render a pair as one text, before it is tokenized."""
    transformer, prompt = model[0], _prompt(model)
    messages = transformer.input_formatter.pair_to_messages(pair)
    if prompt is not None:
        [messages] = transformer.input_formatter.prepend_prompt_to_messages([messages], prompt)
    variables = dict((transformer.processing_kwargs or {}).get("chat_template") or {})
    for name in ("restore_suffix", "padding", "truncation", "max_length", "return_tensors"):
        variables.pop(name, None)
    return str(transformer.processor.apply_chat_template(messages, tokenize=False, **variables))


def _described(model: Any) -> PairText:
    """Find out what the template puts around a query and a document."""
    whole = _rendered(model, _MARKS)
    if any(whole.count(mark) != 1 for mark in _MARKS):
        raise _more_than_words()
    first, second = sorted(_MARKS, key=whole.index)
    before, _, rest = whole.partition(first)
    between, _, after = rest.partition(second)
    plain = PairText(before, between, after, document_first=first != _MARKS[0])
    wanted = [_rendered(model, pair) for pair in _PAIRS]
    for found in (plain, replace(plain, trims=True)):
        if [found.text(*pair) for pair in _PAIRS] == wanted:
            return found
    raise _more_than_words()


def _more_than_words() -> ExportError:
    return ExportError(
        "the chat template of the model does more with a query and a document than to put words "
        "around each: not supported, choose another reranker"
    )


def _cut(model: Any, plain: PairText, length: int) -> PairText:
    """Return `plain` with the tokens that end a text that is cut, checked on such texts."""
    fixed = len(_tokens(model, plain.text("", "")))
    if fixed >= length:
        raise ExportError(
            f"the chat template of the model takes {fixed} tokens of the {length} that it reads"
        )
    long = "rain " * (2 * length)
    pairs = [("rain", long), (long, "rain")]
    wanted = [
        model.preprocess([pair], prompt=_prompt(model))["input_ids"][0].tolist() for pair in pairs
    ]
    for found in (replace(plain, ending=_ending(model)), plain):
        cut = [
            found.ended(_tokens(model, found.text(*pair), max_length=length), length)
            for pair in pairs
        ]
        if cut == wanted:
            return found
    raise ExportError(
        f"pairs of more than {length} tokens are cut in a way that is not supported (see "
        "processing_kwargs in sentence_bert_config.json): choose another reranker"
    )


def _ending(model: Any) -> tuple[int, ...]:
    """Return the tokens that every text ends in, whatever the pair is."""
    one, other = (_tokens(model, _rendered(model, (filler, filler))) for filler in _FILLERS)
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return tuple(one[len(one) - count :])


def _tokens(model: Any, text: str, max_length: int | None = None) -> Sequence[int]:
    limits = {} if max_length is None else {"truncation": True, "max_length": max_length}
    found = model[0].tokenizer(text, add_special_tokens=False, **limits)["input_ids"]
    return list(found)
