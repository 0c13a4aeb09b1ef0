"""Generated JSON that no library would write: made as text, so that any bytes can occur."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tools.fuzz import reading
from tools.fuzz.service import Applications

NAMES = sorted({name for shape in reading.SHAPES for name in shape.names} | {"text", "other"})
BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
NUMBERS = st.one_of(
    st.sampled_from(["-0", "0", "-0.0", "1e999", "-1e999", "1e-999", "1E2", "12.0", "-1", "007", "NaN"]),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 30).map(str),
    st.floats(allow_nan=False).map(repr),
    st.integers(1, 5000).map(lambda size: "9" * size),
)  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(["a", "cat ", '\\"', "\\\\", "\\n", "\\u0069", "\\ud83d\\ude00", "é", "\U0001f600"]),
    st.sampled_from(["\\ud800", "\\udc00", "\\x", "\\u12", "\x00", "\n", "\x7f", "\u2028", '"']),
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\'),
)  # fmt: skip
STRINGS = st.lists(PIECES, max_size=6).map(lambda pieces: f'"{"".join(pieces)}"')


def _written(name: str, escaped: int) -> str:
    """Return the name as a key, sometimes with one of its letters escaped."""
    if escaped >= len(name):
        return f'"{name}"'
    return f'"{name[:escaped]}\\u{ord(name[escaped]):04x}{name[escaped + 1 :]}"'


KEYS = st.builds(_written, st.sampled_from(NAMES), st.integers(0, 60)) | STRINGS


def _arrays(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(st.tuples(BLANKS, inner).map("".join), max_size=4)
    return st.builds(lambda all_parts, blank: f"[{','.join(all_parts)}{blank}]", parts, BLANKS)


def _objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(BLANKS, KEYS, BLANKS, st.just(":"), BLANKS, inner).map("".join), max_size=5)  # fmt: skip
    return st.builds(lambda all_pairs, blank: f"{{{','.join(all_pairs)}{blank}}}", pairs, BLANKS)


LEAVES = st.sampled_from(["null", "true", "false", '"cat"', '["cat","dog"]']) | NUMBERS | STRINGS
VALUES = st.recursive(LEAVES, lambda inner: _arrays(inner) | _objects(inner), max_leaves=12)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Generate bodies: mostly an object of known fields, valid or nearly so."""
    text = draw(BLANKS) + draw(_objects(VALUES) | VALUES) + draw(BLANKS | VALUES)
    content = text.encode()
    if draw(st.integers(0, 3)) == 0:
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 3)))
        content = content[:start] + draw(st.binary(max_size=2)) + content[end:]
    return content


@given(bodies())
@example(b'{"inputs":"a","input_type":-0,"x":{"y":-0}}')
@example(b'{"instances":[{"inputs":[99999999999999999999,-9223372036854775809]}]}')
def test_both_readings_of_any_json_agree(content: bytes) -> None:
    reading.check(content)


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    with Applications(tmp_path_factory.mktemp("kinds")) as made:
        yield made


@settings(max_examples=50)
@given(bodies())
def test_every_route_answers_any_json(applications: Applications, content: bytes) -> None:
    applications.check(content)


@settings(max_examples=30)
@given(
    depth=st.integers(1, 3000),
    level=st.sampled_from([("[", "]"), ('{"a":', "}"), ('{"inputs":', "}"), ("[1,", "")]),
    field=st.sampled_from(["inputs", "input_type", "other", "instances"]),
)
def test_any_depth_is_read_or_refused(depth: int, level: tuple[str, str], field: str) -> None:
    opening, closing = level
    reading.check(f'{{"{field}":{opening * depth}1{closing * depth}}}'.encode())
