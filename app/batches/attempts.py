"""Attempts: lines that are retried after a process ended while it computed them.

A line may have been the cause, for example by taking all memory. So lines are noted before they are
computed, and a note without a result makes the next process compute those lines one at a time. A
line that ended MOST_ALONE processes while it was alone is answered with an error. A failure that
ends no process takes its note back.
"""

import json
from collections.abc import Mapping, Sequence

from app.batches.input_lines import Line
from app.batches.objects import Batch
from app.batches.results import Answer

MOST_ALONE = 3  # since one or two may have been killed by chance
_MESSAGE = f"The service ended {MOST_ALONE} times while this request alone was computed."
_ERROR = {"message": _MESSAGE, "type": "server_error", "param": None, "code": None}
ENDED = Answer(500, json.dumps({"error": _ERROR}).encode())


def is_doubtful(batch: Batch) -> bool:
    """Return whether the next line may have ended a process."""
    return batch.next_byte < batch.begun_byte


def is_hopeless(batch: Batch) -> bool:
    """Return whether the next line is not to be computed again."""
    return is_doubtful(batch) and batch.begun_alone >= MOST_ALONE


def begun(batch: Batch, lines: Sequence[Line]) -> Mapping[str, int]:
    """Return the note that these lines, the next ones, are about to be computed."""
    if is_doubtful(batch):
        return {"begun_alone": batch.begun_alone + 1}
    return {"begun_byte": lines[-1].end}


def as_before(batch: Batch) -> Mapping[str, int]:
    """Return what takes such a note back."""
    return {"begun_byte": batch.begun_byte, "begun_alone": batch.begun_alone}
