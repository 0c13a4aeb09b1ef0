"""Answer headers: what every computed answer says of itself, whatever carries it."""

import time
from typing import Any

from app.api.verbs.verb import Request
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.inference.tokenizing.encoding_input import characters

Headers = list[tuple[bytes, bytes]]


def model_headers(model: ServedModel) -> Headers:
    """Return the headers of every computed answer: its vector space, and its precision."""
    return [
        (b"x-model-fingerprint", model.loaded.fingerprint.encode()),
        (b"x-compute-dtype", model.loaded.session.compute_dtype.encode()),
    ]


def timing_headers(request: Request[Any], computed: Computed[Any], started: float) -> Headers:
    """Return TEI's headers, in its units: whole milliseconds, rounded down."""
    timings = computed.timings
    total = time.perf_counter() - started
    return [
        (b"x-compute-type", b"gpu+optimized"),  # a constant in TEI, also on a CPU
        (b"x-compute-time", b"%d" % (total * 1000)),
        (b"x-compute-characters", b"%d" % sum(map(characters, request.inputs))),
        (b"x-compute-tokens", b"%d" % sum(computed.token_counts)),
        (b"x-total-time", b"%d" % (total * 1000)),
        (b"x-tokenization-time", b"%d" % (timings.tokenization * 1000)),
        (b"x-queue-time", b"%d" % (timings.queue * 1000)),
        (b"x-inference-time", b"%d" % (timings.inference * 1000)),
    ]
