"""Results: lines in OpenAI's format, and files that hold only committed lines."""

import json
import re
from pathlib import Path

import pytest

from app.batches.input_lines import Line
from app.batches.results import EXPIRED, Answer, Results, append, cut

LINES = [Line("a", b"{}", 1), Line('"é', b"{}", 2)]


def test_lines_are_those_of_openai() -> None:
    found = Results.of(LINES, [Answer(200, b'{"object":"list"}', 3), Answer(422, b'{"error":{}}')])
    assert (found.completed, found.failed, found.tokens) == (1, 1, 3)
    good = re.fullmatch(
        rb'\{"id": "batch_req_[0-9a-f]{32}", "custom_id": "a", "response": \{"status_code": 200, '
        rb'"request_id": "[0-9a-f]{32}", "body": \{"object":"list"\}\}, "error": null\}\n',
        found.output,
    )
    assert good
    bad = json.loads(found.errors)
    assert bad.pop("id") != json.loads(found.output)["id"]
    assert len(bad["response"].pop("request_id")) == 32
    assert bad == {
        "custom_id": '"é',
        "response": {"status_code": 422, "body": {"error": {}}},
        "error": None,
    }


def test_lines_that_are_never_computed_have_only_an_error() -> None:
    found = Results.refused(LINES, EXPIRED)
    assert (found.output, found.completed, found.failed) == (b"", 0, 0)
    lines = [json.loads(line) for line in found.errors.splitlines()]
    assert [(one["custom_id"], one["response"], one["error"]["code"]) for one in lines] == [
        ("a", None, "batch_expired"),
        ('"é', None, "batch_expired"),
    ]


def test_uncommitted_lines_of_a_crash_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert append(path, 0, b"") == 0
    assert not path.exists()
    assert append(path, 0, b"one\n") == 4
    assert append(path, 4, b"lost\n") == 9  # the store does not record it
    assert append(path, 4, b"two\n") == 8
    assert path.read_bytes() == b"one\ntwo\n"
    append(path, 8, b"lost\n")
    cut(path, 8)
    assert path.read_bytes() == b"one\ntwo\n"


def test_missing_results_are_not_recreated(tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        append(tmp_path / "file", 3, b"x")
    assert (tmp_path / "file").stat().st_size == 0
