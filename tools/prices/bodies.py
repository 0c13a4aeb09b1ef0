"""Bodies: genes as the JSON of a route, valid or not, and never over the payload limit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from app.api.shapes.choices import SeveralOf
from app.api.shapes.fields import (
    REQUIRED,
    ArrayOf,
    Shape,
    Struct,
    Variant,
    anything,
    boolean,
    string,
    unsigned,
)
from app.api.shapes.spans import spans
from tools.prices.genes import IDS, MOST_BYTES, PIECES, STUFFINGS, Genes

CHUNK = 4_096  # characters made; a longer text repeats them
MOST_VARIED = 64 * CHUNK  # characters up to which inputs differ; with more, all are alike
Members = list[tuple[str, str]]  # names, and values as JSON

# Where a body has its inputs, by the name of its shape: the member for the first by itself, if there
# is one, and the member for the others.
MEMBERS: Mapping[str, tuple[str, str]] = {
    "DecodeRequest": ("", "ids"),
    "OpenAICompatRequest": ("", "input"),
    "SimilarityRequest": ("source_sentence", "sentences"),
    "CohereEmbedRequest": ("", "texts"),
    "RerankRequest": ("query", "texts"),
    "RerankDocumentsRequest": ("query", "documents"),
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The format of a route's requests: the shape of its body, and of its instances if any."""

    shape: Shape
    instance: Shape | None = None


def body(genes: Genes, dialect: Dialect, most: int = MOST_BYTES) -> tuple[Genes, bytes]:
    """Return a body within a limit of bytes, and the genes that it ends up with."""
    genes = replace(genes, size=min(genes.size, most), first=min(genes.first, most))
    genes = replace(genes, count=min(genes.count, most), stuffed=min(genes.stuffed, most))
    genes = replace(genes, size=max(1, min(genes.size, most // genes.count)))
    while len(content := _body(genes, dialect)) > most:
        genes = _smaller(genes, 0.95 * most / len(content))
    return genes, content


def said(genes: Genes, dialect: Dialect) -> str:
    """Describe a body in words."""
    options = _options(genes.options, dialect.instance or dialect.shape)
    return "; ".join([str(genes), *(f"{name} {value}" for name, value in options)])


def _smaller(genes: Genes, times: float) -> Genes:
    """Scale sizes down, or drop inputs where they cannot be any smaller."""
    if genes.size == 1 and genes.first <= 1 and genes.stuffed == 0:
        if genes.count == 1:
            return replace(genes, options=0, group=1)
        return replace(genes, count=max(1, int(genes.count * times)))
    sizes: dict[str, Any] = {
        one: int(getattr(genes, one) * times) for one in ("size", "first", "stuffed")
    }
    return replace(genes, **{**sizes, "size": max(1, sizes["size"])})


def _body(genes: Genes, dialect: Dialect) -> bytes:
    members = (
        _members(genes, dialect.shape)
        if dialect.instance is None
        else _instances(genes, dialect.instance)
    )
    name = "other"
    if genes.is_open and dialect.shape.open_names and dialect.instance is None:
        name = dialect.shape.open_names[0]
    if genes.stuffed:
        stuffed = (name, STUFFINGS[genes.stuffing](genes.stuffed))
        members.insert(len(members) if genes.is_behind else 0, stuffed)
    return _faulty(members, genes.fault)


def _faulty(members: Members, fault: str) -> bytes:
    more: Mapping[str, Members] = {
        "type": [("truncate", "5"), ("raw_scores", "5"), ("skip_special_tokens", "5")],
        "twice": members[-1:],
        "surrogate": [("other", '"\\ud800"')],
        "minus zero": [("other", "-0")],
    }
    content = _object([*members, *more.get(fault, [])]).encode()
    ends = {"cut": content[:-1], "trailing": content + b"x", "utf-8": content[:-1] + b"\xff}"}
    return ends.get(fault, content)


def _instances(genes: Genes, shape: Shape) -> Members:
    """Return inputs in groups, each an instance; all alike."""
    whole, left = divmod(genes.count, genes.group)
    one = _object(_members(replace(genes, count=genes.group), shape))
    written = [one] * whole
    if left:
        written.append(_object(_members(replace(genes, count=left), shape)))
    return [("instances", f"[{','.join(written)}]")]


def _members(genes: Genes, shape: Shape) -> Members:
    first, others = MEMBERS.get(shape.name, ("", "inputs"))
    items = _items(genes)
    if first:
        members = [(first, items[0]), (others, f"[{','.join(items[1:])}]")]
    elif genes.form == "text" or (genes.form == "ids" and genes.count == 1):
        members = [(others, items[0])]
    else:
        members = [(others, f"[{','.join(items)}]")]
    if shape.name == "SimilarityRequest":
        members = [("inputs", _object(members))]
    if shape.name == "InferRequest":
        members = [("inputs", f"[{_tensor(items)}]")]
    return members + _options(genes.options, shape)


def _tensor(items: Sequence[str]) -> str:
    """The texts of a request of the Open Inference Protocol."""
    shape = ("shape", f"[{len(items)}]")
    data = ("data", f"[{','.join(items)}]")
    return _object([("name", '"text"'), shape, ("datatype", '"BYTES"'), data])


def _items(genes: Genes) -> Sequence[str]:
    """Return each input as JSON, made once where all are alike."""
    count = 1 if genes.form == "text" else genes.count
    first = [_item(genes, genes.first, 0)] if genes.first else []
    left = count - len(first)
    if genes.varied and left * min(genes.size, CHUNK) <= MOST_VARIED:
        return first + [_item(genes, genes.size, place) for place in range(left)]
    return first + [_item(genes, genes.size, 0)] * left


def _item(genes: Genes, size: int, place: int) -> str:
    random = Random(place)
    if genes.form == "ids":
        ids = IDS[genes.id]
        some = [
            random.choice(ids) if genes.varied else ids[place % len(ids)]
            for place in range(min(size, CHUNK))
        ]
        return json.dumps((some * (size // CHUNK + 1))[:size], separators=(",", ":"))
    text = json.dumps(_text(genes, size, random), ensure_ascii=genes.escaped)
    return f"[{text},{text}]" if genes.form == "pairs" else text


def _text(genes: Genes, size: int, random: Random) -> str:
    pieces = PIECES[genes.kind]
    made: list[str] = []
    for place in range(min(size, CHUNK)):
        if place and place % genes.word == 0:
            made.append(" ")
        made.append(random.choice(pieces) if genes.varied else pieces[place % len(pieces)])
    chunk = "".join(made)
    if genes.word < CHUNK:
        chunk += " "
    return (chunk * (size // len(chunk) + 1))[:size]


def _options(number: int, shape: Shape) -> Members:
    """Return some of the optional members of a route, each with a valid value."""
    random = Random(number)
    found: Members = []
    for name, one in shape.fields.items():
        is_input = name in {"texts", "inputs", "images"}  # though others may take its place
        if number and one.default is not REQUIRED and not is_input and random.random() < 0.5:
            found.append((name, json.dumps(_option(one.read, random))))
    return found


def _option(read: Any, random: Random) -> Any:
    values: Mapping[Any, Sequence[Any]] = {
        boolean: (True, False),
        string: ("query", "x" * 1_000),
        unsigned: (1, 384, 2**64 - 1),
        anything: (True, "query", None),
        spans: ([[0, 1]], [[0, 9], [4, 30]]),
    }
    if isinstance(read, SeveralOf):
        return list(read.words[:1])
    if isinstance(read, Variant):
        return random.choice(list(read.values))
    if isinstance(read, ArrayOf) and isinstance(read.read, Variant):
        return list(read.read.values)
    if isinstance(read, ArrayOf):
        return [_option(read.read, random)]
    if isinstance(read, Struct):
        return {name: _option(one.read, random) for name, one in read.shape.fields.items()}
    return random.choice(values[read])


def _object(members: Members) -> str:
    return f"{{{','.join(f'{json.dumps(name)}:{value}' for name, value in members)}}}"
