"""Requests of the Open Inference Protocol, in JSON and with binary data, and their answers."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.types import ASGIApp

from tools.asgi import request
from tools.client import JSON, Reply

LENGTH = "inference-header-content-length"


def packed(texts: Sequence[str | bytes]) -> bytes:
    """Return the elements of a BYTES tensor."""
    encoded = [one.encode() if isinstance(one, str) else one for one in texts]
    return b"".join(len(one).to_bytes(4, "little") + one for one in encoded)


def tensor(name: str, texts: Sequence[str], /, **members: Any) -> dict[str, Any]:
    """Return a tensor of texts in JSON."""
    return {
        "name": name,
        "shape": [len(texts)],
        "datatype": "BYTES",
        "data": list(texts),
        **members,
    }


def in_binary(name: str, shape: Sequence[int], size: int) -> dict[str, Any]:
    """Return a tensor of texts whose given number of bytes follows the JSON."""
    parameters = {"binary_data_size": size}
    return {"name": name, "shape": list(shape), "datatype": "BYTES", "parameters": parameters}


def post_binary(app: ASGIApp, path: str, body: Any, data: bytes, **headers: str) -> Reply:
    """POST JSON with binary data behind it."""
    head = json.dumps(body).encode()
    declared = {LENGTH: str(len(head)), **headers}
    return request(app, "POST", path, head + data, declared)


def octets_of(app: ASGIApp, path: str, body: Any) -> bytes:
    """Return the vectors that one of TEI's routes answers, as bytes."""
    headers = {**JSON, "accept": "application/octet-stream"}
    reply = request(app, "POST", path, json.dumps(body).encode(), headers)
    assert reply.status == 200, reply.text
    return reply.content


def output_of(reply: Reply) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Return the JSON of an answer, and its only tensor."""
    assert reply.status == 200, reply.text
    head, data = reply.content, b""
    if LENGTH in reply.headers:
        assert reply.headers["content-type"] == "application/octet-stream"
        size = int(reply.headers[LENGTH])
        head, data = reply.content[:size], reply.content[size:]
    answer = json.loads(head)
    [output] = answer["outputs"]
    assert output["datatype"] == "FP32"
    if LENGTH in reply.headers:
        assert output["parameters"] == {"binary_data_size": len(data)}
        assert "data" not in output
        rows = np.frombuffer(data, "<f4")
    else:
        rows = np.array(output["data"], np.float32)
    return answer, rows.reshape(output["shape"])
