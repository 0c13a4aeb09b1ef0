"""Expected scores of the tiny models, and their refusals, in NumPy."""

from typing import Any

import numpy as np

from tools import tiny
from tools.client import Reply


def refused(reply: Reply, status: int, kind: str, text: str) -> bool:
    return (reply.status, reply.json) == (status, {"error": text, "error_type": kind})


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def logits(task: Any, *texts: str) -> Any:
    one = tiny.encoded(*texts)
    return tiny.logits(task, one.input_ids, one.token_type_ids)


NOT_RERANKER = "Backend error: model is not a re-ranker model"
