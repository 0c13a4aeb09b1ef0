"""The exact reading: TEI's first fault in reading order, in linear time, and never another."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.body import reader, streaming
from app.api.shapes.faults import Fault
from app.api.shapes.fields import Shape
from app.api.verbs.openai import EMBEDDINGS
from app.api.verbs.tei_embed import EMBED, SIMILARITY
from app.api.verbs.tei_score import PREDICT, RERANK
from app.api.verbs.tei_tokenize import TOKENIZE
from app.api.verbs.vertex import VERTEX
from app.errors import MalformedBody, MistypedBody, UnreadableRequest
from tools.fuzz import reading

INPUT = "data did not match any variant of untagged enum Input"


def said(content: bytes, shape: Shape) -> tuple[int, str] | None:
    """Return the status and the detail of a refusal, or None for a body that is read."""
    try:
        reader.read(content, shape)
    except UnreadableRequest as error:
        return error.status, str(error).split(": ", 1)[1]
    return None


@pytest.mark.parametrize(
    ("shape", "content", "status", "detail"),
    [
        (EMBED, b'{"inputs":1', 422, f"inputs: {INPUT} at line 1 column 11"),
        (EMBED, b'{"inputs":1}', 422, f"inputs: {INPUT} at line 1 column 12"),
        (EMBED, b'{"inputs":1 ,"x":2}', 422, f"inputs: {INPUT} at line 1 column 12"),
        (EMBED, b'{"inputs":"","truncate":"x"', 422, 'truncate: invalid type: string "x", expected a boolean at line 1 column 27'),
        (RERANK, b'{"query":["a",}', 422, "query: invalid type: sequence, expected a string at line 1 column 9"),
        (RERANK, b'{"query":' + b"[" * 128, 422, "query: invalid type: sequence, expected a string at line 1 column 9"),
        (EMBED, b'{"inputs":"a","truncation_direction":{"a":1}}', 422, "truncation_direction: unknown variant `a`, expected one of `Left`, `left`, `Right`, `right` at line 1 column 41"),
        (EMBED, b'{"inputs":"a","truncation_direction":{"Left":1}}', 422, "truncation_direction.Left: invalid type: integer `1`, expected unit at line 1 column 46"),
        (EMBED, b'{"inputs":"a","truncation_direction":{"Left":null,"a":1}}', 400, "truncation_direction: expected value at line 1 column 49"),
        (EMBED, b'{"inputs":"a","truncation_direction":{}}', 400, "truncation_direction: expected value at line 1 column 39"),
        (EMBED, b'{"inputs":"a","truncation_direction":1e400}', 400, "truncation_direction: expected value at line 1 column 38"),
        (EMBED, b'{"inputs":"a","truncation_direction":["\\ud800"]}', 400, "truncation_direction: expected value at line 1 column 38"),
        (TOKENIZE, b'["a"]', 422, "invalid length 2, expected struct TokenizeRequest with 3 elements at line 1 column 5"),
        (PREDICT, b'["a"]', 422, "invalid length 1, expected struct PredictRequest with 4 elements at line 1 column 5"),
        (EMBEDDINGS, b'["a"]', 422, "invalid length 1, expected struct OpenAICompatRequest with 5 elements at line 1 column 5"),
        (EMBED, b'["a",null,"Right",null,true,null,7]', 400, "trailing characters at line 1 column 34"),
        (EMBED, b'["a",["b"]]', 422, "[1]: invalid type: sequence, expected a boolean at line 1 column 5"),
        (PREDICT, b'{"inputs":["a","a","a",1e400]}', 422, "inputs: invalid length 3, expected a string, a pair of strings [string, string] or a batch of mixed strings and pairs [[string], [string, string], ...] at line 1 column 23"),
        (PREDICT, b'{"inputs":[["a"],[1]]}', 422, "inputs[1][0]: invalid type: integer `1`, expected a string at line 1 column 19"),
        (PREDICT, b'{"inputs":{}}', 422, "inputs: invalid type: map, expected a string, a pair of strings [string, string] or a batch of mixed strings and pairs [[string], [string, string], ...] at line 1 column 12"),
        (EMBED, b'{"inputs":["\\ud800"]}', 400, "inputs[0]: unexpected end of hex escape at line 1 column 19"),
        (SIMILARITY, b'{"inputs":{"source_sentence":1e400}}', 400, "inputs.source_sentence: number out of range at line 1 column 34"),
        (SIMILARITY, b'{"inputs":{"source_sentence":"a"}}', 422, "inputs: missing field `sentences` at line 1 column 33"),
        (EMBED, b'{"\\ud800":1,"inputs":"a"}', 400, "unexpected end of hex escape at line 1 column 9"),
        (EMBED, b"1.", 400, "EOF while parsing a value at line 1 column 2"),
        (EMBED, b'{"truncate":99999999999999999999}', 422, "truncate: invalid type: floating point `1e20`, expected a boolean at line 1 column 32"),
        (EMBED, b'{"truncate":-92233702036854775809}', 422, "truncate: invalid type: floating point `-9.223370203685477e19`, expected a boolean at line 1 column 33"),
        (EMBED, b'{"truncate":"\\u0000\\u0001"}', 422, 'truncate: invalid type: string "\\0\\u{1}", expected a boolean at line 1 column 26'),
        (EMBED, b'{"foo":nulL}', 400, "foo: expected ident at line 1 column 11"),
        (EMBED, b'{"foo":[1,]}', 400, "foo: expected value at line 1 column 11"),
        (SIMILARITY, b'{"inputs":{\\a"', 400, "inputs.?: key must be a string at line 1 column 12"),
        (EMBED, b"[" * 128, 400, "[0]" * 127 + ": recursion limit exceeded at line 1 column 128"),
        (EMBED, b"\x1f\x8b\x08", 400, "expected value at line 1 column 1"),
        (VERTEX, b'{"instances":[{"inputs":"a","x":1e400}]}', 400, "instances[0].x: number out of range at line 1 column 37"),
        (VERTEX, b'{"instances":[' + b"[" * 126 + b"]" * 126 + b"]}", 400, "instances" + "[0]" * 126 + ": recursion limit exceeded at line 1 column 140"),
        (EMBED, '{"é":1,"inputs":1}'.encode(), 422, f"inputs: {INPUT} at line 1 column 19"),
    ],
)  # fmt: skip
def test_the_first_fault_in_reading_order(
    shape: Shape, content: bytes, status: int, detail: str
) -> None:
    assert said(content, shape) == (status, detail)


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        (EMBED, b'{"inputs":"a","truncation_direction":{"Left":null}}'),
        (EMBEDDINGS, b'{"input":"a","encoding_format":{"base64":null}}'),
        (RERANK, b'["a",["b"]]'),
        (SIMILARITY, b'{"inputs":["a",["b"]],"parameters":[true,"Left",null]}'),
        (
            SIMILARITY,
            b'{"inputs":{"source_sentence":"a","sentences":["b"],"x":"\\ud800","y":1e400}}',
        ),
        (EMBED, b'{"x":"\xff","inputs":"a"}\xff'),
        (EMBED, b'{"inputs":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        (VERTEX, b'{"instances":[' + b"[" * 125 + b"]" * 125 + b"]}"),
    ],
)
def test_bodies_that_tei_accepts_as_well(shape: Shape, content: bytes) -> None:
    assert said(content, shape) is None


def test_a_variant_as_an_object_and_structs_as_arrays_have_their_values() -> None:
    by_name = {"inputs": "a", "truncation_direction": {"Left": None}}
    assert reader.read(json.dumps(by_name).encode(), EMBED)["truncation_direction"] == "left"
    by_place = b'{"inputs":["a",["b","c"]],"parameters":[true,"Left","query"]}'
    assert reader.read(by_place, SIMILARITY) == {
        "inputs": {"source_sentence": "a", "sentences": ["b", "c"]},
        "parameters": {"truncate": True, "truncation_direction": "left", "prompt_name": "query"},
    }


# Fragments that are repeated to make a body as expensive as it can be.
UNITS: list[tuple[Shape, bytes, bytes]] = [
    (EMBED, b'{"x":', b"["),
    (EMBED, b'{"x":[', b"[],"),
    (EMBED, b'{"x":[', b"[[],"),
    (EMBED, b'{"x":', b'[{"":'),
    (EMBED, b'{"x":[', b"[[[[[0]]]]],0,0,0,0,0,0,0,0,0,"),
    (EMBED, b"{", b'"":[],'),
    (EMBED, b"{", '"é":0,'.encode()),
    (EMBED, b"{", b'"\\u0061":"\\n",'),
    (EMBED, b'{"inputs":[', b"0,"),
    (EMBED, b'{"inputs":[', b"1e9,"),
    (EMBED, b'{"inputs":[', b'{"":[[[0]]]},'),
    (EMBED, b'{"inputs":[', b"[[[[0]]]],"),
    (EMBED, b'{"inputs":[', b'"\\n",'),
    (EMBED, b'{"inputs":"', b"\\n"),
    (EMBED, b'{"inputs":', b"9"),
    (EMBED, b'{"inputs":', b" "),
    (RERANK, b'{"query":"a","texts":[', b'"a",'),
    (PREDICT, b'{"inputs":[', b'["a"],'),
    (VERTEX, b'{"instances":[', b"{},"),
]


def steps(content: bytes, shape: Shape) -> int:
    """Return how many tokens and runs are tried in the reading of a body."""
    reader = streaming.Reader(content)
    with contextlib.suppress(Fault):
        reader.struct(shape)
    return reader.scanner.steps


@pytest.mark.parametrize(("shape", "head", "unit"), UNITS)
def test_reading_is_linear(shape: Shape, head: bytes, unit: bytes) -> None:
    short, long = (steps(head + unit * times, shape) for times in (500, 2_000))
    assert long <= 4 * short + 50
    assert long <= 3 * 2_000 * len(unit)


@given(st.binary(max_size=40), st.sampled_from(reading.SHAPES))
def test_any_bytes_are_read_or_refused_and_nothing_else(content: bytes, shape: Shape) -> None:
    for begun in (content, b'{"inputs":' + content, b"[" + content, b'{"texts":["a",' + content):
        with contextlib.suppress(MalformedBody, MistypedBody):
            streaming.read(begun, shape)
