"""Bodies that are read or refused, with the words of the refusal: rows of the contract's tables."""

import asyncio
import contextlib
import json
import random
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.body import reader
from app.api.shapes.fields import Shape
from app.api.verbs.openai import EMBEDDINGS
from app.api.verbs.tei_embed import EMBED
from app.api.verbs.tei_tokenize import DECODE
from app.errors import MalformedBody, MistypedBody

DEFAULTS: dict[str, Any] = {
    "truncate": None,
    "truncation_direction": None,
    "prompt_name": None,
    "normalize": True,
    "dimensions": None,
    "output_dtype": "float",
    "output_types": None,
    "overflow": None,
    "spans": None,
}


def read_in_turns(content: bytes, shape: Shape) -> dict[str, Any]:
    """Return the typed fields of a body of any size."""
    return asyncio.run(reader.in_turns(content, shape, dict[str, Any]))


@pytest.mark.parametrize(
    ("content", "inputs", "is_batch"),
    [
        (b'"a"', ["a"], False),
        (b'""', [""], False),
        (b"[]", [()], False),  # one empty id list
        (b"[1,2]", [(1, 2)], False),
        (b"[4294967295]", [(4294967295,)], False),
        (b"[[1,2]]", [(1, 2)], True),
        (b'["a","b"]', ["a", "b"], True),
        (b'["a",[1],[]]', ["a", (1,), ()], True),
        (b'"\\u0000\\ud83d\\ude00"', ["\0\U0001f600"], False),
    ],
)
def test_the_shapes_of_an_input(content: bytes, inputs: list[Any], is_batch: bool) -> None:
    assert reader.read(b'{"inputs":%b}' % content, EMBED)["inputs"] == (inputs, is_batch)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'"\\ud800"', "unexpected end of hex escape"),
        (b'"\\udc00"', "lone leading surrogate in hex escape"),
        (b"1e999", "number out of range"),
    ],
)
def test_bad_syntax_in_place_of_the_object_is_400(content: bytes, words: str) -> None:
    with pytest.raises(MalformedBody, match=words) as caught:
        reader.read(content, EMBED)
    str(caught.value).encode()  # it is the answer


@pytest.mark.parametrize(
    "content",
    [
        b'[1,"a"]', b'[["a"]]', b"[1.0]", b"[-1]", b"[-0]", b"[true]", b'["a",null]', b"null",
        b"5", b"{}", b"[4294967296]", b"[[1],2]", b'["a",[-0]]', b"true", b"[1e2]",
    ],
)  # fmt: skip
def test_other_inputs_match_no_variant(content: bytes) -> None:
    with pytest.raises(MistypedBody) as caught:
        reader.read(b'{"inputs":%b}' % content, EMBED)
    assert str(caught.value).startswith(
        "Failed to deserialize the JSON body into the target type: inputs: "
        "data did not match any variant of untagged enum Input at line 1 column "
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"inputs":"a"}', {}),
        (b'{"inputs":"a","truncate":null,"prompt_name":null,"dimensions":null}', {}),
        (b'{"inputs":"a","truncate":false,"normalize":false}', {"truncate": False, "normalize": False}),
        (b'{"inputs":"a","truncation_direction":"Left"}', {"truncation_direction": "left"}),
        (b'{"inputs":"a","truncation_direction":"left"}', {"truncation_direction": "left"}),
        (b'{"inputs":"a","truncation_direction":"Right"}', {"truncation_direction": "right"}),
        (b'{"inputs":"a","dimensions":18446744073709551615}', {"dimensions": 2**64 - 1}),
        (b'{"inputs":"a","prompt_name":""}', {"prompt_name": ""}),
        (b'{"inputs":"a","unknown":1,"unknown":{"deep":[1e999]},"Inputs":2}', {}),
        (b'{"inputs":"a","unknown":"\\ud800"}', {}),
        (b' \n{"inputs":"a"} trailing', {}),
        (b'{"inputs":"a"}{"inputs":"b"}', {}),
        (b'["a",true,"Left","q",false,3]', {
            "truncate": True, "truncation_direction": "left", "prompt_name": "q",
            "normalize": False, "dimensions": 3,
        }),
    ],
)  # fmt: skip
def test_accepted_bodies(content: bytes, found: dict[str, Any]) -> None:
    assert reader.read(content, EMBED) == {"inputs": (["a"], False), **DEFAULTS, **found}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"  \n ", "EOF while parsing a value at line 2 column 1"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"inputs"', "EOF while parsing an object at line 1 column 9"),
        (b'{"inputs":', "inputs: EOF while parsing a value at line 1 column 10"),
        (b'{"inputs":["a"', "inputs: EOF while parsing a list at line 1 column 14"),
        (b'{"inputs":["a",', "inputs: EOF while parsing a value at line 1 column 15"),
        (b'{"inputs":"a', "inputs: EOF while parsing a string at line 1 column 12"),
        (b'{"inputs":"a",}', "trailing comma at line 1 column 15"),
        (b'{"inputs":["a",]}', "inputs: trailing comma at line 1 column 16"),
        (b"{'inputs':'a'}", "key must be a string at line 1 column 2"),
        (b"{\"inputs\":'a'}", "inputs: expected value at line 1 column 11"),
        (b'{"inputs":NaN}', "inputs: expected value at line 1 column 11"),
        (b'{"inputs":-Infinity}', "inputs: invalid number at line 1 column 12"),
        (b'{"inputs":True}', "inputs: expected value at line 1 column 11"),
        (b'{"inputs":"a","x":None}', "x: expected value at line 1 column 19"),
        (b'{"inputs" "a"}', "expected `:`"),
        (b'{"inputs":"a" "x":1}', "expected `,` or `}`"),
        (b'{"inputs":[1 2]}', "inputs: expected `,` or `]`"),
        (b'{"inputs":01}', "inputs: invalid number at line 1 column 12"),
        (
            b'{"inputs":"a\nb"}',
            "inputs: control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
        ),
        (b'{"inputs":"\\x"}', "inputs: invalid escape at line 1 column 13"),
        (b'{"inputs":"\\ud800"}', "inputs: unexpected end of hex escape"),
        (b'{"inputs":"\\ud800\\n"}', "inputs: unexpected end of hex escape"),
        (b'{"inputs":"\\ud800\\u0061"}', "inputs: lone leading surrogate in hex escape"),
        (b'{"inputs":["\\udc00"]}', "inputs[0]: lone leading surrogate in hex escape"),
        (b'{"inputs":1e400}', "inputs: number out of range"),
        (b'\xef\xbb\xbf{"inputs":"a"}', "expected value at line 1 column 1"),
        ('{"inputs":"a"}'.encode("utf-16"), "expected value at line 1 column 1"),
        (b'{"inputs":"\xff"}', "inputs: invalid unicode code point at line 1 column 13"),
        (
            b'{"inputs":' + b"[" * 200 + b"]" * 200 + b"}",
            f"inputs{'[0]' * 126}: recursion limit exceeded at line 1 column 137",
        ),
        (b'"\\ud800"', "unexpected end of hex escape at line 1 column 8"),
        (b"1e400", "number out of range at line 1 column 5"),
        (b"[" * 100_000, f"{'[0]' * 127}: recursion limit exceeded at line 1 column 128"),
        (b'{"a":' * 100_000, "a: EOF while parsing a value at line 1 column 500000"),
        (b'{"inputs":' + b"9" * 10_000 + b"}", "inputs: number out of range"),
        (b'{"inputs":"a","truncation_direction":1}', "truncation_direction: expected value"),
    ],
)
def test_invalid_json_is_400(content: bytes, detail: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        reader.read(content, EMBED)
    assert str(caught.value).startswith(f"Failed to parse the request body as JSON: {detail}")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{}", "missing field `inputs` at line 1 column 2"),
        (b'{"truncate":true}', "missing field `inputs` at line 1 column 17"),
        (b"[]", "invalid length 0, expected struct EmbedRequest with 6 elements at line 1 column 2"),
        (b'["a"]', "invalid length 3, expected struct EmbedRequest with 6 elements at line 1 column 5"),
        (b'"a"', 'invalid type: string "a", expected struct EmbedRequest at line 1 column 3'),
        (b"5", "invalid type: integer `5`, expected struct EmbedRequest"),
        (b"null", "invalid type: null, expected struct EmbedRequest"),
        (b'{"inputs":"a","inputs":"a"}', "duplicate field `inputs` at line 1 column "),
        (b'{"inputs":"a","truncate":true,"truncate":true}', "duplicate field `truncate`"),
        (b'{"inputs":"a","\\u0069nputs":"b"}', "duplicate field `inputs` at line 1 column "),
        (b'{"inputs":"a","truncate":"true"}', 'truncate: invalid type: string "true", expected a boolean'),
        (b'{"inputs":"a","truncate":1}', "truncate: invalid type: integer `1`, expected a boolean"),
        (b'{"inputs":null}', "inputs: data did not match any variant of untagged enum Input"),
        (b'{"inputs":"a","normalize":[]}', "normalize: invalid type: sequence, expected a boolean"),
        (b'{"inputs":"a","normalize":{"a":1}}', "normalize: invalid type: map, expected a boolean"),
        (b'{"inputs":"a","prompt_name":1.5}', "prompt_name: invalid type: floating point `1.5`, expected a string"),
        (b'{"inputs":"a","prompt_name":true}', "prompt_name: invalid type: boolean `true`, expected a string"),
        (b'{"inputs":"a","dimensions":-1}', "dimensions: invalid value: integer `-1`, expected usize"),
        (b'{"inputs":"a","dimensions":-0}', "dimensions: invalid type: floating point `-0.0`, expected usize"),
        (b'{"inputs":"a","dimensions":12.0}', "dimensions: invalid type: floating point `12.0`, expected usize"),
        (b'{"inputs":"a","dimensions":1e2}', "dimensions: invalid type: floating point `100.0`, expected usize"),
        (b'{"inputs":"a","dimensions":"12"}', 'dimensions: invalid type: string "12", expected usize'),
        (b'{"inputs":"a","truncation_direction":"LEFT"}', "truncation_direction: unknown variant `LEFT`, expected one of `Left`, `left`, `Right`, `right`"),
        (b'{"truncate":1,"inputs":5}', "truncate: "),  # the first fault in the order of the body
        (b'{"inputs":5,"truncate":1}', "inputs: "),
    ],
)  # fmt: skip
def test_json_of_another_shape_is_422(content: bytes, detail: str) -> None:
    with pytest.raises(MistypedBody) as caught:
        reader.read(content, EMBED)
    text = "Failed to deserialize the JSON body into the target type: "
    assert str(caught.value).startswith(text + detail)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"inputs":"a"}', "missing field `input`"),
        (b'{"input":"a","encoding_format":"int8"}', "encoding_format: unknown variant `int8`, expected `float` or `base64`"),
        (b'{"input":"a","encoding_format":"Float"}', "encoding_format: unknown variant"),
        (b'{"input":"a","model":1}', "model: invalid type: integer `1`, expected a string"),
        (b'{"input":"a","user":[]}', "user: invalid type: sequence, expected a string"),
        (b"1", "invalid type: integer `1`, expected struct OpenAICompatRequest"),
    ],
)  # fmt: skip
def test_openai_s_body_has_its_own_fields(content: bytes, detail: str) -> None:
    with pytest.raises(MistypedBody, match="target type") as caught:
        reader.read(content, EMBEDDINGS)
    assert f": {detail}" in str(caught.value)


def test_numbers_of_any_field_are_read_as_serde_reads_them() -> None:
    content = b'{"input":"a","input_type":{"a":-0,"b":99999999999999999999,"c":0}}'
    found = reader.read(content, EMBEDDINGS)["input_type"]
    assert repr(found) == "{'a': -0.0, 'b': 1e+20, 'c': 0}"


def test_text_that_looks_like_a_fault_is_only_text() -> None:
    content = b'{"inputs":["\\"inputs\\": -0 NaN {[", "inputs", "2021-01-02"]}'
    assert reader.read(content, EMBED)["inputs"][0][1:] == ["inputs", "2021-01-02"]


def test_a_large_malformed_body_is_refused_without_delay() -> None:
    numbers = b",".join(b"%d" % random.randrange(30_000) for _ in range(300_000))
    with pytest.raises(MalformedBody, match="EOF while parsing a list"):
        read_in_turns(b'{"inputs":[' + numbers, EMBED)


def test_a_hundred_thousand_unknown_fields_are_skipped() -> None:
    fields = b"".join(b'"%x":%d,' % (number, number) for number in range(100_000))
    assert read_in_turns(b"{%b}" % (fields + b'"inputs":"a"'), EMBED)["inputs"] == (["a"], False)
    twice = b'{"inputs":"a",%b"inputs":"b"}' % fields
    with pytest.raises(MistypedBody, match="duplicate field `inputs`"):
        read_in_turns(twice, EMBED)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(MalformedBody, MistypedBody):
        reader.read(content, EMBED)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(["inputs", "truncate", "normalize", "dimensions", "prompt_name", "other"]),
)
def test_any_json_is_read_or_refused(value: Any, name: str) -> None:
    with contextlib.suppress(MalformedBody, MistypedBody):
        reader.read(json.dumps({"inputs": "a", name: value}).encode(), EMBED)


@pytest.mark.parametrize(
    "tail", [b' "inputs":NaN', b' "inputs":' + b"[" * 100_000], ids=["constant", "brackets"]
)
def test_a_key_behind_the_value_is_not_looked_at(tail: bytes) -> None:
    alone = reader.read(b'{"inputs":"a"}', EMBED)
    assert reader.read(b'{"inputs":"a"}' + tail, EMBED) == alone


@pytest.mark.parametrize(
    ("spare", "elsewhere"), [(0, False), (reader.DOUBTFUL_BYTES, True), (reader.LARGE_BYTES, True)]
)
def test_other_tasks_run_while_a_doubtful_body_is_read(spare: int, elsewhere: bool) -> None:
    content = b'{"inputs":"a","x":[-0,"%b"]}' % (b"a" * spare)
    made_on = reader.in_turns(content, EMBED, lambda _: threading.get_ident())
    assert (asyncio.run(made_on) != threading.get_ident()) == elsewhere


ARRAYS = b'{"inputs":[' + b"[1]," * 100_000 + b"[2]]}"
NUMBERS = b'{"ids":[' + b"7," * 150_000 + b"8]}"


@pytest.mark.parametrize(("content", "shape"), [(ARRAYS, EMBED), (NUMBERS, DECODE)])
def test_a_crowded_body_is_read_as_any_other_but_not_by_orjson(
    content: bytes, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """orjson would make a hundred thousand objects in one call and block the event loop."""
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("orjson was given it"))
    assert read_in_turns(content, shape) == shape.read(json.loads(content))


def test_bytes_beside_a_body_may_be_too_many_for_the_event_loop() -> None:
    made_on = reader.in_turns(b'{"inputs":"a"}', EMBED, lambda _: threading.get_ident(), 200_000)
    assert asyncio.run(made_on) != threading.get_ident()
