"""Settled tokenizer: `tokenizer.json` as transformers makes it from files and settings.

A checkpoint may have no such file, or settings beside it that change how texts are tokenized: an
end token, letter case, accents. The tokenizer that transformers builds from all of them is served,
unless the file alone does the same.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from tokenizers import Tokenizer

from app.model.manifest import TOKENIZER_FILE
from app.proof.probes import ProbeText
from export import probe_texts
from export.checkpoint import read as checkpoints
from export.checkpoint.kinds import CHOICES, chosen
from export.checkpoint.read import Checkpoint
from export.config.documents import Document, read_json
from export.errors import ExportError, first_line
from export.reference import original

_LENGTH = 128  # words in the longest texts that are compared, halved

_Tokens = tuple[list[int], list[int]]  # ids and types


def main(arguments: Sequence[str]) -> None:
    """Run this step alone, from the command line of a subprocess.

    Raises: ExportError as `settle` does, and for a model that cannot be exported; SystemExit with
    status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--into", type=Path, required=True, metavar="FILE")
    parser.add_argument("--pooling", choices=CHOICES)
    parser.add_argument("--id", default="")
    found = parser.parse_args(arguments)
    settle(checkpoints.read(found.tokenizer, chosen(found.pooling), found.id), found.into)


def settle(checkpoint: Checkpoint, target: Path, *, trust_code: bool = False) -> None:
    """Write transformers' tokenizer to `target` if the checkpoint's file differs from it.

    Raises: ExportError if the tokenizer cannot be loaded, exists in Python only, needs a package
    that is not installed, or has settings that no file can hold.
    """
    tokenizer = _load(checkpoint, trust_code=trust_code)
    texts: tuple[ProbeText, ...] = (*probe_texts.texts(_LENGTH), *probe_texts.pairs(_LENGTH))
    typed = _tells_types(checkpoint.folder)
    wanted = [_wanted(tokenizer, text, typed=typed) for text in texts]
    own = checkpoint.folder / TOKENIZER_FILE
    if own.is_file() and _difference(own, texts, wanted, typed=typed) is None:
        return
    if not tokenizer.is_fast:
        _refuse_python(checkpoint.folder, type(tokenizer).__name__)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(target))
    if typed and "token_type_ids" not in tokenizer.model_input_names:
        _without_types(target)
    text = _difference(target, texts, wanted, typed=typed)
    if text is not None:
        raise ExportError(
            f"{checkpoint.folder / 'tokenizer_config.json'} asks for a tokenization that "
            f"{TOKENIZER_FILE} cannot hold{_reason(tokenizer)}: of {text!r} transformers makes "
            "other tokens; choose another model"
        )


def _load(checkpoint: Checkpoint, *, trust_code: bool) -> Any:
    try:
        return original.tokenizer(checkpoint, trust_code=trust_code)
    except ExportError:
        if (checkpoint.folder / TOKENIZER_FILE).is_file():
            raise
        if (name := original.python_tokenizer(checkpoint.folder)) is not None:
            _refuse_python(checkpoint.folder, name)
        model = next(checkpoint.folder.glob("*.model"), None)
        if model is not None and find_spec("sentencepiece") is None:
            raise ExportError(
                f"{checkpoint.folder} has no {TOKENIZER_FILE}, and {model.name} is read by the "
                "package sentencepiece only: pip install sentencepiece, and export again"
            ) from None
        raise


def _refuse_python(folder: Path, name: str) -> NoReturn:
    raise ExportError(
        f"the tokenizer of {folder}, {name}, is written in Python: transformers has no fast form "
        "of it, and nothing else is served; choose another model"
    )


def _wanted(tokenizer: Any, text: ProbeText, *, typed: bool) -> _Tokens:
    """Tokenize a text or pair with transformers."""
    found = tokenizer(*([text] if isinstance(text, str) else text))
    ids = list(found["input_ids"])
    types = found.get("token_type_ids") or [0] * len(ids)
    return ids, list(types) if typed else []


def _difference(
    path: Path, texts: Sequence[ProbeText], wanted: Sequence[_Tokens], *, typed: bool
) -> ProbeText | None:
    """Return the shortest text that the file tokenizes differently, if there is one."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ExportError(f"{path} cannot be read: {first_line(error)}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = (tokenizer.encode(*([text] if isinstance(text, str) else text)) for text in texts)
    others = [
        text
        for text, one, tokens in zip(texts, found, wanted, strict=True)
        if (one.ids, one.type_ids if typed else []) != tokens
    ]
    return min(others, key=lambda text: len("".join(text)), default=None)


def _tells_types(folder: Path) -> bool:
    """Check whether the model tells the two texts of a pair apart by their tokens' types."""
    return (Document.read(folder / "config.json").first_integer("type_vocab_size") or 0) > 1


def _without_types(path: Path) -> None:
    """Give every token the type 0, as transformers does for a model that takes no types."""
    content = read_json(path)
    for piece in _pieces(content.get("post_processor")):
        piece["type_id"] = 0
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _pieces(processor: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of a post-processor's templates."""
    if not isinstance(processor, dict):
        return
    for inner in processor.get("processors") or ():
        yield from _pieces(inner)
    if processor.get("type") == "TemplateProcessing":
        for piece in (*processor["single"], *processor["pair"]):
            yield from piece.values()


def _reason(tokenizer: Any) -> str:
    return " (split_special_tokens)" if getattr(tokenizer, "split_special_tokens", False) else ""
