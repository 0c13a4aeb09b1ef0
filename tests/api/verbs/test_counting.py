"""Metrics and log lines, request by request: what is counted where, as TEI 1.9.3 has it.

Sources: router/src/prometheus.rs, router/src/http/server.rs, core/src/infer.rs, core/src/queue.rs.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]

RANK = {"query": "a", "texts": ["b", "c"]}
SIMILAR = {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}
TOO_MANY = ["a"] * 33
DURATIONS = ("duration", "tokenization_duration", "queue_duration", "inference_duration")
# Beside TEI's series: tests/api/http/test_metric_series.py, test_middleware.py, long_texts/test_truncated.py.
OURS = (
    "process_",
    "te_http_",
    "te_model_",
    "te_permits_",
    "te_body_",
    "te_run_",
    "te_shapes_",
    "te_log_",
    "te_rows_",
    "te_cache_",
    "te_truncated_",
    "te_tokens_in_flight",
    "te_work_waiting_",
    "te_queue_seconds_",
)


def metrics(app: ASGIApp) -> dict[str, float]:
    """Return the value of every series of TEI but buckets, and of failures that happened."""
    lines = request(app, "GET", "/metrics").text.splitlines()
    plain = [line for line in lines if line and not line.startswith("#") and "_bucket" not in line]
    plain = [line for line in plain if not line.startswith(OURS)]
    found = {name: float(value) for name, _, value in (line.rpartition(" ") for line in plain)}
    return {name: value for name, value in found.items() if value or "failure" not in name}


@pytest.mark.parametrize(
    ("kind", "path", "body", "counted"),
    [
        ("embedding", "/embed", {"inputs": "a"}, ("single", "embed", 1)),
        ("embedding", "/embed", {"inputs": ["a"]}, ("batch", "embed", 1)),
        ("embedding", "/", {"inputs": ["a", "b"]}, ("batch", "embed", 2)),
        ("embedding", "/embed_all", {"inputs": [[4], "b"]}, ("batch", "embed", 2)),
        ("splade", "/embed_sparse", {"inputs": "a"}, ("single", "embed", 1)),
        ("embedding", "/v1/embeddings", {"input": [4, 5]}, ("single", "embed", 1)),
        ("embedding", "/embeddings", {"input": ["a", "b"]}, ("batch", "embed", 2)),
        ("embedding", "/similarity", SIMILAR, ("batch", "embed", 3)),
        ("classifier", "/predict", {"inputs": ["a", "b"]}, ("single", "predict", 1)),
        ("classifier", "/predict", {"inputs": [["a"], ["a", "b"]]}, ("batch", "predict", 2)),
        ("reranker", "/rerank", RANK, ("batch", "predict", 2)),
        ("reranker", "/invocations", RANK, ("batch", "predict", 2)),
    ],
)
def test_a_request_and_its_inputs_are_counted(
    make_kind: MakeKind, kind: str, path: str, body: Any, counted: tuple[str, str, int]
) -> None:
    method, stem, inputs = counted
    app = make_kind(kind)
    assert post(app, path, body).status == 200
    found = metrics(app)
    assert {name for name in found if "method=" in name} == {
        f'te_request_count{{method="{method}"}}', f'te_request_success{{method="{method}"}}',
    }  # fmt: skip
    assert found[f'te_request_count{{method="{method}"}}'] == 1
    assert found[f'te_request_success{{method="{method}"}}'] == 1
    assert found[f"te_{stem}_count"] == found[f"te_{stem}_success"] == inputs
    for name in DURATIONS:
        assert found[f"te_request_{name}_count"] == 1
        assert found[f"te_{stem}_{name}_count"] == inputs
    assert found["te_request_input_length_count"] == inputs
    assert found["te_queue_size"] == 0
    assert found["te_batch_next_size_sum"] == inputs
    assert found["te_batch_next_tokens_count"] == found["te_batch_next_size_count"] >= 1
    assert not any("te_request_failure" in name for name in found)


@pytest.mark.parametrize(
    ("kind", "path", "body", "label"),
    [
        ("embedding", "/embed", {"inputs": ""}, "tokenization"),
        ("embedding", "/embed", {"inputs": []}, "tokenization"),
        ("embedding", "/embed", {"inputs": "a", "prompt_name": "nope"}, "tokenization"),
        ("embedding", "/embed", {"inputs": "a " * 20, "truncate": False}, "tokenization"),
        ("embedding", "/embed", {"inputs": "a", "dimensions": 0}, "validation"),
        ("embedding", "/embed", {"inputs": "a", "dimensions": 99}, "validation"),
        ("embedding", "/embed", {"inputs": TOO_MANY}, "batch_size"),
        ("embedding", "/v1/embeddings", {"input": ["a"] * 2049}, "batch_size"),
        ("embedding", "/predict", {"inputs": "a"}, "model_type"),
        ("embedding", "/rerank", RANK, "model_type"),
        ("classifier", "/embed", {"inputs": "a"}, "model_type"),
        ("embedding", "/embed_sparse", {"inputs": "a"}, "model_type"),
        ("reranker", "/rerank", {"query": "a", "texts": []}, "validation"),
        ("embedding", "/similarity", {"inputs": {**SIMILAR["inputs"], "sentences": []}}, "validation"),
        ("embedding", "/tokenize", {"inputs": []}, "validation"),
        ("embedding", "/tokenize", {"inputs": TOO_MANY}, "batch_size"),
        ("embedding", "/tokenize", {"inputs": ""}, "tokenization"),
        ("embedding", "/tokenize", {"inputs": "a", "prompt_name": "nope"}, "tokenization"),
        ("embedding", "/decode", {"ids": []}, "tokenization"),
        ("embedding", "/decode", {"ids": [[4]] * 33}, "batch_size"),
        ("embedding", "/vertex", {"instances": [{"inputs": ""}]}, "tokenization"),
    ],
)  # fmt: skip
def test_a_failure_is_counted_once_under_its_reason(
    make_kind: MakeKind, kind: str, path: str, body: Any, label: str
) -> None:
    app = make_kind(kind)
    assert post(app, path, body).status >= 400
    found = metrics(app)
    assert {name: value for name, value in found.items() if "failure" in name} == {
        f'te_request_failure{{err="{label}"}}': 1
    }
    assert not any("success" in name for name in found)


BATCH, SINGLE = ('te_request_count{method="batch"}', 'te_request_count{method="single"}')
FAR = ["", *["a"] * 128, ""]  # its ends are tokenized in different groups


def failure(label: str) -> str:
    return f'te_request_failure{{err="{label}"}}'


@pytest.mark.parametrize(
    ("kind", "path", "body", "counted"),
    [
        # Not a request to the model.
        ("embedding", "/rerank", RANK, {failure("model_type"): 1}),
        ("reranker", "/rerank", {"query": "a", "texts": []}, {failure("validation"): 1}),
        ("reranker", "/v1/rerank", {"query": "a", "documents": []}, {failure("validation"): 1}),
        ("embedding", "/similarity", {"inputs": {**SIMILAR["inputs"], "sentences": []}}, {failure("validation"): 1}),
        # A request to the model, without inputs that it could compute.
        ("embedding", "/embed", {"inputs": TOO_MANY}, {BATCH: 1, failure("batch_size"): 1}),
        ("reranker", "/rerank", {"query": "a", "texts": TOO_MANY}, {BATCH: 1, failure("batch_size"): 1}),
        ("embedding", "/embed", {"inputs": ["a", "b"], "dimensions": 0}, {BATCH: 1, failure("validation"): 2}),
        ("splade", "/embed", {"inputs": "a"}, {SINGLE: 1, failure("model_type"): 1}),
        ("classifier", "/embed", {"inputs": ["a", "b"]}, {BATCH: 1, failure("model_type"): 2}),
        ("reranker", "/embed_all", {"inputs": ["a", "b"]}, {BATCH: 1, failure("model_type"): 2}),
        ("embedding", "/embed_sparse", {"inputs": "a"}, {SINGLE: 1, failure("model_type"): 1}),
        ("classifier", "/v1/embeddings", {"input": ["a", "b"]}, {BATCH: 1, failure("model_type"): 2}),
        ("reranker", "/similarity", SIMILAR, {BATCH: 1, failure("model_type"): 3}),
        ("embedding", "/predict", {"inputs": [["a"], ["b"]]}, {BATCH: 1, failure("model_type"): 2}),
        ("embedding", "/vertex", {"instances": [RANK]}, {failure("model_type"): 1}),
        # With inputs, these of them invalid.
        ("embedding", "/embed", {"inputs": ["a", "", ""]}, {BATCH: 1, "te_embed_count": 3, failure("tokenization"): 2}),
        ("embedding", "/embed", {"inputs": ["a " * 20, "a", ""], "truncate": False}, {BATCH: 1, "te_embed_count": 3, failure("tokenization"): 2}),
        ("embedding", "/embed", {"inputs": ["a", ""], "prompt_name": "nope"}, {BATCH: 1, "te_embed_count": 2, failure("tokenization"): 2}),
        ("embedding", "/embed", {"inputs": ["", "a"], "prompt_name": "nope"}, {BATCH: 1, "te_embed_count": 2, failure("tokenization"): 2}),
        ("embedding", "/embed", {"inputs": ["a", "b"], "dimensions": 99}, {BATCH: 1, "te_embed_count": 2, failure("validation"): 2}),
        ("embedding", "/v1/embeddings", {"input": FAR}, {BATCH: 1, "te_embed_count": 130, failure("tokenization"): 2}),
        ("classifier", "/predict", {"inputs": [[""], ["a"], ["", ""]]}, {BATCH: 1, "te_predict_count": 3, failure("tokenization"): 2}),
        ("reranker", "/rerank", {"query": "", "texts": ["", "a", ""]}, {BATCH: 1, "te_predict_count": 3, failure("tokenization"): 2}),
        # The tokenizer's routes are no requests to the model.
        ("embedding", "/tokenize", {"inputs": ["", "a", ""]}, {failure("tokenization"): 2}),
        ("embedding", "/tokenize", {"inputs": ["a", "b"], "prompt_name": "nope"}, {failure("tokenization"): 2}),
        ("embedding", "/decode", {"ids": [[], [4], []]}, {failure("tokenization"): 2}),
    ],
)  # fmt: skip
def test_counters_move_as_far_as_a_refused_request_comes(
    make_kind: MakeKind, kind: str, path: str, body: Any, counted: dict[str, int]
) -> None:
    app = make_kind(kind)
    assert post(app, path, body).status >= 400
    moved = ("te_request_count", "te_request_failure", "te_embed_count", "te_predict_count")
    assert {
        name: value for name, value in metrics(app).items() if name.startswith(moved)
    } == counted


def test_overload_and_a_failing_run_are_counted(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=1)
    with service.model.engine.admission.permits.taken(1):
        assert post(app, "/embed", {"inputs": ["a", "b"]}).status == 429
    assert "te_embed_count" not in metrics(app)
    monkeypatch.setattr("app.inference.providers.session.Session.run", lambda *_: 1 / 0)
    assert post(app, "/embed", {"inputs": "a"}).status == 424
    found = metrics(app)
    assert found['te_request_failure{err="overloaded"}'] == 1
    assert found['te_request_failure{err="inference"}'] == 1


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/embed", b"{"),
        ("POST", "/embed", b"{}"),
        ("POST", "/tokenize", b'{"inputs":"a"}'),
        ("POST", "/decode", b'{"ids":[4]}'),
        ("POST", "/vertex", b'{"instances":[]}'),
        ("POST", "/vertex", b'{"instances":[{"nothing":1}]}'),
        ("GET", "/info", b""),
        ("GET", "/health", b""),
        ("GET", "/embed", b""),
        ("GET", "/nope", b""),
        ("OPTIONS", "/embed", b""),
    ],
)
def test_other_requests_are_counted_nowhere(
    make_kind: MakeKind, method: str, path: str, content: bytes
) -> None:
    app = make_kind("embedding")
    request(app, method, path, content)
    assert metrics(app) == {}


def test_every_instance_is_a_request(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    post(app, "/vertex", {"instances": [{"inputs": "a"}, {"inputs": ["a", "b"]}]})
    found = metrics(app)
    assert found['te_request_count{method="single"}'] == 1
    assert found['te_request_success{method="batch"}'] == 1
    assert found["te_embed_success"] == 3


def test_names_are_tei_s_without_help_or_suffixes(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    post(app, "/rerank", RANK)
    text = request(app, "GET", "/metrics").text
    assert "# HELP" not in text
    typed = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name: kind for name, kind in typed.items() if not name.startswith(OURS)} == {
        "te_request_count": "counter",
        "te_request_success": "counter",
        "te_request_failure": "counter",
        "te_predict_count": "counter",
        "te_predict_success": "counter",
        "te_queue_size": "gauge",
        "te_batch_next_size": "histogram",
        "te_batch_next_tokens": "histogram",
        "te_request_input_length": "histogram",
        **{f"te_{stem}_{name}": "histogram" for stem in ("request", "predict") for name in DURATIONS},
    }  # fmt: skip


# One line in the log for each request that was computed, in a span named for its handler.


@pytest.mark.parametrize(
    ("kind", "path", "body", "names"),
    [
        ("embedding", "/embed", {"inputs": "a"}, ["embed"]),
        ("embedding", "/", {"inputs": "a"}, ["embed"]),
        ("embedding", "/embed_all", {"inputs": "a"}, ["embed_all"]),
        ("splade", "/embed_sparse", {"inputs": "a"}, ["embed_sparse"]),
        ("embedding", "/v1/embeddings", {"input": "a"}, ["openai_embed"]),
        ("classifier", "/predict", {"inputs": "a"}, ["predict"]),
        ("reranker", "/rerank", RANK, ["rerank"]),
        ("embedding", "/similarity", SIMILAR, ["similarity"]),
        ("embedding", "/vertex", {"instances": [{"inputs": "a"}] * 2}, ["embed", "embed"]),
        ("embedding", "/tokenize", {"inputs": "a"}, []),
        ("embedding", "/decode", {"ids": [4]}, []),
    ],
)
def test_a_computed_request_is_a_line_of_the_log(
    make_kind: MakeKind,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    path: str,
    body: Any,
    names: list[str],
) -> None:
    app = make_kind(kind)
    caplog.set_level(logging.INFO)
    caplog.clear()
    post(app, path, body)
    spans: list[dict[str, str]] = [
        record.__dict__["span"] for record in caplog.records if record.message == "Success"
    ]
    assert [span["name"] for span in spans] == names
    for span in spans:
        times = [
            span[f"{name}time"] for name in ("total_", "tokenization_", "queue_", "inference_")
        ]
        assert all(re.fullmatch(r"\d+(\.\d+)?(ns|µs|ms|s)", time) for time in times)


def test_an_error_is_a_line_of_the_log(
    make_kind: MakeKind, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_kind("embedding")
    caplog.clear()
    post(app, "/embed", {"inputs": ""})
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.message == "Input validation error: `inputs` cannot be empty"
