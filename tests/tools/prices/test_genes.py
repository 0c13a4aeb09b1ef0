"""Genes: bodies within the limit, valid unless a fault is asked for, and reproducible."""

import json
from dataclasses import replace
from random import Random

import pytest

from app.api.body import reader as reading
from app.api.shapes.fields import Shape
from app.api.verbs.cohere.embed import EMBED as COHERE
from app.api.verbs.cohere.rerank import RERANK as DOCUMENTS
from app.api.verbs.openai import EMBEDDINGS
from app.api.verbs.tei_embed import EMBED, SIMILARITY
from app.api.verbs.tei_score import PREDICT, RERANK
from app.api.verbs.tei_tokenize import DECODE, TOKENIZE
from app.api.verbs.vertex import VERTEX
from tools.prices.bodies import Dialect, body
from tools.prices.genes import FAULTS, IDS, PIECES, STUFFINGS, Genes, changed, drawn, grown

MOST = 3_000
TEXTS = Genes(kind="emoji", word=2, count=3, size=5)
OF_IDS = Genes(form="ids", count=3, size=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [EMBED, SIMILARITY, EMBEDDINGS, PREDICT, RERANK, DOCUMENTS, COHERE]
)
def test_any_genes_make_a_body_within_the_limit(shape: Shape) -> None:
    random = Random(1)
    genes = drawn(random)
    for _ in range(40):
        genes = changed(drawn(random), random)
        made, content = body(genes, Dialect(shape), MOST)
        assert len(content) <= MOST
        assert body(made, Dialect(shape), MOST) == (made, content)  # the same body again
    assert drawn(Random(2)) == drawn(Random(2))


@pytest.mark.parametrize(
    ("shape", "genes"),
    [
        (EMBED, TEXTS), (EMBED, OF_IDS), (SIMILARITY, TEXTS), (EMBEDDINGS, OF_IDS), (TOKENIZE, TEXTS),
        (PREDICT, Genes(form="pairs")), (RERANK, TEXTS), (DOCUMENTS, TEXTS), (COHERE, TEXTS), (DECODE, OF_IDS),
    ],
)  # fmt: skip
def test_valid_bodies_are_read_with_every_option(shape: Shape, genes: Genes) -> None:
    for options in range(20):
        content = _content(replace(genes, options=options), Dialect(shape))
        assert reading.read(content, shape).keys() == shape.fields.keys()


def test_options_are_left_out_where_they_do_not_fit() -> None:
    for options in range(100):
        made, content = body(Genes(count=1, size=1, options=options), Dialect(EMBEDDINGS), 500)
        assert len(content) <= 500
        assert made.options in {0, options}


def test_sizes_are_those_of_the_inputs() -> None:
    genes = Genes(kind="q", word=2, count=3, size=5, first=2)
    assert json.loads(_content(genes, Dialect(EMBED))) == {"inputs": ["qq", "qq qq", "qq qq"]}
    query = json.loads(_content(genes, Dialect(RERANK)))
    assert query == {"query": "qq", "texts": ["qq qq", "qq qq"]}
    assert json.loads(_content(OF_IDS, Dialect(DECODE))) == {"ids": [[1] * 5] * 3}


def test_instances_hold_a_number_of_inputs_each() -> None:
    genes = Genes(kind="q", count=5, size=1, group=2)
    found = json.loads(_content(genes, Dialect(VERTEX, EMBED)))
    assert [one["inputs"] for one in found["instances"]] == [["q", "q"], ["q", "q"], ["q"]]


@pytest.mark.parametrize("kind", PIECES)
def test_words_are_made_of_any_pieces(kind: str) -> None:
    genes = Genes(kind=kind, word=3, count=1, size=50, escaped=True)
    [text] = json.loads(_content(genes, Dialect(EMBED)))["inputs"]
    assert len(text) == 50
    assert PIECES[kind][0] in text


@pytest.mark.parametrize("name", IDS)
def test_ids_are_numbers(name: str) -> None:
    genes = Genes(form="ids", id=name, count=1, size=9)
    assert set(json.loads(_content(genes, Dialect(EMBED)))["inputs"]) <= set(IDS[name])


@pytest.mark.parametrize("name", sorted(set(STUFFINGS) - {"too deep arrays"}))
def test_stuffing_is_json_of_its_size(name: str) -> None:
    genes = Genes(count=1, size=1, stuffing=name, stuffed=2_000)
    content = _content(genes, Dialect(EMBED))
    assert json.loads(content)["inputs"] == ["q"]
    assert name == "nothing" or 1_500 < len(content) < 2_700


def test_every_fault_but_none_changes_the_body() -> None:
    contents = {_content(Genes(fault=one), Dialect(EMBED)) for one in FAULTS}
    assert len(contents) == len(set(FAULTS))


def test_grown_genes_are_larger_in_every_size() -> None:
    assert grown(Genes(size=10, count=2), 4) == Genes(size=40, count=2)
    assert grown(Genes(size=1, count=40, stuffed=5), 4) == Genes(size=1, count=160, stuffed=20)


def _content(genes: Genes, dialect: Dialect) -> bytes:
    return body(genes, dialect)[1]
