"""Spans: log lines and traces of computed, answered and refused requests."""

import logging
from typing import Any

import pytest

from app.api.verbs.spans import RequestSpan
from app.errors import InvalidInput
from app.inference.computing import Timings
from app.telemetry.tracing import Span, TraceParent

PARENT = TraceParent("0" * 31 + "1", "0" * 15 + "2")


class Tracer:
    """A tracer that keeps its spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def record(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        """Do nothing: there is nothing to send."""


def scope(parent: TraceParent | None = None) -> dict[str, Any]:
    return {"request_id": "r1", "trace_parent": parent}


def test_a_computed_request_is_a_line_with_its_timings(caplog: pytest.LogCaptureFixture) -> None:
    tracer = Tracer()
    with caplog.at_level(logging.INFO, "app.api.spans"):
        RequestSpan(scope(PARENT), tracer, "embed").computed(Timings(0.001, 0.002, 0.003), 0.01)
    [record] = caplog.records
    assert record.getMessage() == "Success"
    fields = vars(record)["span"]
    assert fields["name"] == "embed"
    assert fields["request_id"] == "r1"
    assert fields["trace_id"] == PARENT.trace_id
    [span] = tracer.spans
    assert (span.name, span.error) == ("embed", None)
    assert {"name": span.name, **span.attributes} == fields


def test_an_answer_that_needed_no_model_is_traced_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer = Tracer()
    with caplog.at_level(logging.INFO, "app.api.spans"):
        RequestSpan(scope(), tracer, "tokenize").answered()
    assert caplog.records == []
    assert [span.attributes for span in tracer.spans] == [{"request_id": "r1"}]


def test_a_refusal_is_a_line_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    tracer = Tracer()
    with caplog.at_level(logging.INFO, "app.api.spans"):
        RequestSpan(scope(), tracer, "embed").failed(InvalidInput("no such prompt"))
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("ERROR", "no such prompt")
    ]
    assert [span.error for span in tracer.spans] == ["no such prompt"]


def test_a_child_has_its_own_name_and_its_request_s_origin() -> None:
    tracer = Tracer()
    child = RequestSpan(scope(), tracer, "vertex").child("rerank")
    child.answered()
    assert [(span.name, span.attributes["request_id"]) for span in tracer.spans] == [
        ("rerank", "r1")
    ]
