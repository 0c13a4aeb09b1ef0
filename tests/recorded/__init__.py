"""TEI 1.9.3's answers to 2,819 requests, and the models that gave them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CHECKPOINTS = FOLDER / "checkpoints"
MODELS = ("bert-mean", "bert-reranker", "roberta-classifier")
KINDS = {"bert-mean": "embedding", "bert-reranker": "reranker", "roberta-classifier": "classifier"}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    content: bytes  # of the request
    status: int
    content_type: str | None
    answer_headers: Mapping[str, str]
    body: str | None  # of the answer; None where it is `numbers`
    numbers: Any  # JSON whose fractions have five digits

    @cached_property
    def as_sent(self) -> bytes:
        """The request as bytes of HTTP/1.1."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.content or self.method == "POST":
            lines.append(f"content-length: {len(self.content)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.content


def exchanges(model: str, folder: Path = Path("/model")) -> list[Exchange]:
    """Return the requests to a model with their answers; it was served from `folder`."""
    content = (FOLDER / f"{model}.jsonl").read_text().replace("{model}", str(folder))
    return [_exchange(json.loads(line)) for line in content.rstrip("\n").split("\n")]


def _exchange(line: dict[str, Any]) -> Exchange:
    request, answer = line["request"], line["answer"]
    text = request.get("body") or ""
    encoded = request.get("body_base64")
    headers: dict[str, str | list[str]] = request.get("headers") or {}
    return Exchange(
        method=request["method"],
        target=request["path"],
        headers=[(name, one) for name, value in headers.items() for one in _several(value)],
        content=text.encode() if encoded is None else base64.b64decode(encoded),
        status=answer["status"],
        content_type=answer["content_type"],
        answer_headers=answer["headers"],
        body=answer.get("body"),
        numbers=answer.get("json_rounded_to_5_digits"),
    )


def _several(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
