"""Answers of a server over HTTP: each question alone, and many in one request."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.model.manifest import Manifest
from tools.models.asked import Question
from tools.process import Server

_ROWS = 256


class DidNotStart(Exception):
    """The server ended before it listened."""


class Service:
    """A running server over one exported folder."""

    def __init__(self, server: Server, manifest: Manifest) -> None:
        self._server = server
        self._labels = list(manifest.labels)
        self._task = manifest.task
        self._width = manifest.dimensions

    def answers(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Return a row for each question, in as few requests as the API allows."""
        if self._task == "reranker":
            groups = [list(group) for _, group in groupby(questions, lambda one: one.text)]
            return np.concatenate([self._ranked(group) for group in groups])
        if self._task == "classifier":
            return self._labelled(questions)
        groups = [list(group) for _, group in groupby(questions, lambda one: one.prompt_name)]
        return np.concatenate([self._vectors(group) for group in groups])

    def _vectors(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        body: dict[str, Any] = {"inputs": [one.text for one in questions]}
        if questions[0].prompt_name is not None:
            body["prompt_name"] = questions[0].prompt_name
        if self._task == "embedding":
            return np.array(self._post("/embed", body), np.float32)
        found = np.zeros((len(questions), self._width), np.float32)
        for row, entries in zip(found, self._post("/embed_sparse", body), strict=True):
            row[[entry["index"] for entry in entries]] = [entry["value"] for entry in entries]
        return found

    def _labelled(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        inputs = [[one.text, *([] if one.other is None else [one.other])] for one in questions]
        answers = self._post("/predict", {"inputs": inputs})
        found = np.zeros((len(questions), len(self._labels)), np.float32)
        for row, scores in zip(found, answers, strict=True):
            for score in scores:
                row[self._labels.index(score["label"])] = score["score"]
        return found

    def _ranked(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        body = {"query": questions[0].text, "texts": [one.other for one in questions]}
        ranks = self._post("/rerank", body)
        found = np.zeros((len(questions), 1), np.float32)
        found[[rank["index"] for rank in ranks], 0] = [rank["score"] for rank in ranks]
        return found

    def _post(self, path: str, body: Any) -> Any:
        reply = self._server.post(path, body)
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {reply.text}")
        return reply.json


@contextmanager
def serve(
    folder: Path, flags: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[Service]:
    """Start a server over `folder` in one precision.

    Raises: DidNotStart with the last line that it printed.
    """
    server = Server(
        "--model-id",
        str(folder),
        "--max-client-batch-size",
        str(_ROWS),
        *flags,
        environment=environment,
        log=log,
    )
    try:
        try:
            server.wait_ready(300)
        except AssertionError:
            raise DidNotStart((log.read_text().splitlines() or ["it said nothing"])[-1]) from None
        yield Service(server, Manifest.read(folder))
    finally:
        server.stop()
