"""Input lines: validation of a file before anything of it is computed."""

from pathlib import Path
from typing import Any

import pytest

from app.batches import input_lines
from app.batches.input_lines import GROUP_LINES, LONGEST_ID, MOST_FAULTS, Rules, checked, group
from tests.support.batches import ENDPOINT, jsonl, request

RULES = Rules(ENDPOINT, 1000, lambda name: name != "unknown")


def write(folder: Path, content: bytes) -> Path:
    path = folder / "input"
    path.write_bytes(content)
    return path


def test_a_file_without_faults(tmp_path: Path) -> None:
    content = jsonl([request(0), request(1)]) + b"\n \n" + jsonl([request(2)]).rstrip()
    found = checked(write(tmp_path, content), RULES)
    assert (found.total, found.model, found.faults) == (3, "m", ())


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        (b'{"custom_id": "a", "body": NaN}', "invalid_json_line", None),
        ({**request(1), "custom_id": None}, "missing_required_parameter", "custom_id"),
        ({**request(1), "custom_id": 5}, "invalid_request", "custom_id"),
        (request(1, custom_id="x" * 513), "invalid_request", "custom_id"),
        (request(1, method="GET"), "invalid_request", "method"),
        (request(1, url="/v1/chat/completions"), "url_mismatch", "url"),
        (request(1, body="x"), "invalid_request", "body"),
        (
            b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"user": '
            + b"[" * 300
            + b"]" * 300
            + b"}}",
            "invalid_request",
            "body",
        ),
        (
            {"custom_id": "a", "method": "POST", "url": ENDPOINT},
            "missing_required_parameter",
            "body",
        ),
        (request(1, body={"model": "other"}), "model_mismatch", "body.model"),
        (request(1, body={}), "model_mismatch", "body.model"),
        (request(0), "duplicate_custom_id", "custom_id"),
        (request(1, "x" * 1000), "invalid_request", None),
    ],
)
def test_a_fault_is_reported_with_its_line(
    tmp_path: Path, line: Any, code: str, param: str | None
) -> None:
    content = line + b"\n" if isinstance(line, bytes) else jsonl([line])
    found = checked(write(tmp_path, jsonl([request(0)]) + content + jsonl([request(9)])), RULES)
    assert [(one.code, one.line, one.param) for one in found.faults] == [(code, 2, param)]
    assert found.faults[0].message.endswith(".")


def test_a_model_that_is_not_served(tmp_path: Path) -> None:
    content = jsonl([request(0, body={"model": "unknown", "input": "a"})])
    assert [one.code for one in checked(write(tmp_path, content), RULES).faults] == [
        "model_not_found"
    ]


def test_a_model_of_another_type_is_a_fault_of_its_request_alone(tmp_path: Path) -> None:
    content = jsonl([request(0, body={"model": 5, "input": "a"}), request(1)])
    assert checked(write(tmp_path, content), RULES).faults == ()


def test_a_line_of_100_mb_takes_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path, jsonl([request(0)]))
    with path.open("ab") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + jsonl([request(1)]))
    found = checked(path, RULES)
    assert [(one.line, one.message) for one in found.faults] == [
        (2, "This line has more than 1000 bytes.")
    ]
    assert found.total == 3


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    [fault] = checked(write(tmp_path, content), RULES).faults
    assert (fault.code, fault.line) == ("empty_file", None)


def test_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_lines, "MOST_LINES", 3)
    path = write(tmp_path, jsonl([request(number) for number in range(3)]))
    assert checked(path, RULES).faults == ()
    path = write(tmp_path, jsonl([request(number) for number in range(4)]))
    [fault] = checked(path, RULES).faults
    assert (fault.code, fault.line) == ("too_many_tasks", None)


def test_too_many_blank_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_lines, "MOST_LINES", 3)
    lines = jsonl([request(number) for number in range(3)])
    assert checked(write(tmp_path, lines + b"\n" * 3), RULES).faults == ()
    [fault] = checked(write(tmp_path, b"\n" * 4 + lines), RULES).faults
    assert (fault.code, fault.line) == ("too_many_tasks", None)


def test_the_longest_id(tmp_path: Path) -> None:
    content = jsonl([request(0, custom_id="é" * LONGEST_ID)])
    assert checked(write(tmp_path, content), Rules(ENDPOINT, 10_000, RULES.knows)).faults == ()


@pytest.mark.parametrize(("text", "lines"), [("a", 5_000), ("x" * 100_000, 500)])
def test_a_cancelled_check_ends_soon(tmp_path: Path, text: str, lines: int) -> None:
    asked = 0

    def is_over() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    rules = Rules(ENDPOINT, 1_000_000, RULES.knows)
    path = write(tmp_path, jsonl([request(number, text) for number in range(lines)]))
    found = checked(path, rules, is_over)
    assert 0 < found.total < lines
    assert asked == 3


def test_the_number_of_reported_faults_is_bounded(tmp_path: Path) -> None:
    found = checked(write(tmp_path, b"{\n" * 1000), RULES)
    assert len(found.faults) == MOST_FAULTS


def test_groups_hold_every_line_once(tmp_path: Path) -> None:
    content = b"\n".join(jsonl([request(number)]) for number in range(3 * GROUP_LINES + 5))
    path, start, ids, sizes = write(tmp_path, content), 0, [], []
    while lines := group(path, start):
        ids += [line.custom_id for line in lines]
        sizes.append(len(lines))
        start = lines[-1].end
    assert ids == [f"r{number}" for number in range(3 * GROUP_LINES + 5)]
    assert sizes == [GROUP_LINES] * 3 + [5]


def test_skipped_lines_are_reported_in_groups(tmp_path: Path) -> None:
    path = write(tmp_path, jsonl([request(number) for number in range(3 * GROUP_LINES)]))
    assert len(group(path, 0, None)) == 3 * GROUP_LINES


def test_a_group_has_few_inputs_and_bytes(tmp_path: Path) -> None:
    many = {"model": "m", "input": ["a"] * 700}
    path = write(tmp_path, jsonl([request(number, body=many) for number in range(4)]))
    assert len(group(path, 0)) == 2
    long = {"model": "m", "input": "x" * 3_000_000}
    path = write(tmp_path, jsonl([request(number, body=long) for number in range(4)]))
    assert len(group(path, 0)) == 2


@pytest.mark.parametrize("blank", [b"\n" * 4_000_001, (b" " * 1_999_990 + b"\n") * 3])
def test_blank_lines_do_not_end_a_group(tmp_path: Path, blank: bytes) -> None:
    path = write(tmp_path, jsonl([request(0)]) + blank + jsonl([request(1)]))
    assert [line.custom_id for line in group(path, 0)] == ["r0", "r1"]
