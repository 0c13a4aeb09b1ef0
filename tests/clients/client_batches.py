"""Files and batches with openai and LiteLLM, and the commands of docs/batches.md."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest
from openai.types import Batch

from tests.clients.service import post, serve
from tests.clients.vectors import TEXTS, assert_same
from tools.process import ROOT

PAGE = (ROOT / "docs" / "batches.md").read_text()
OVER = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def kept_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps files and batches, for two keys."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "keys").write_text("ann=a\nbob=b\n")
    kept = {"BATCH_DIR": str(folder / "batches"), "API_KEY_FILE": str(folder / "keys")}
    with serve(**kept) as address:
        yield address


@pytest.fixture(scope="module")
def open_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps files and batches, for anyone."""
    with serve(BATCH_DIR=str(tmp_path_factory.mktemp("kept"))) as address:
        yield address


def client(url: str, key: str = "a") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key)


def request(number: int, text: str) -> dict[str, Any]:
    body = {"model": "any", "input": text}
    return {"custom_id": f"r{number}", "method": "POST", "url": "/v1/embeddings", "body": body}


def jsonl(*requests: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in requests)


def begin(asking: openai.OpenAI, content: bytes, **more: Any) -> Batch:
    file = asking.files.create(file=("in.jsonl", content), purpose="batch")
    return asking.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h", **more
    )


def polled(look: Callable[[], Any]) -> Any:
    """Poll until a batch is over, and return it."""
    deadline = time.monotonic() + 60
    while (found := look()).status not in OVER:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def lines(asking: openai.OpenAI, file_id: str | None) -> list[Any]:
    assert file_id is not None
    return [json.loads(line) for line in asking.files.content(file_id).text.splitlines()]


def test_openai_from_a_file_to_its_vectors(kept_url: str) -> None:
    asking = client(kept_url)
    requests = [request(number, text) for number, text in enumerate(TEXTS)]
    batch = begin(asking, jsonl(*requests, request(99, "")), metadata={"job": "7"})
    assert (batch.status, batch.metadata) == ("validating", {"job": "7"})
    batch = polled(partial(asking.batches.retrieve, batch.id))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.failed) == (len(TEXTS) + 1, 1)
    answers = lines(asking, batch.output_file_id)
    assert [one["custom_id"] for one in answers] == [f"r{number}" for number in range(len(TEXTS))]
    vectors = [one["response"]["body"]["data"][0]["embedding"] for one in answers]
    alone = asking.embeddings.create(model="any", input=TEXTS, encoding_format="float")
    assert_same(vectors, [one.embedding for one in alone.data])
    [refused] = lines(asking, batch.error_file_id)
    assert refused["response"]["status_code"] == 400
    assert "empty" in refused["response"]["body"]["error"]["message"]
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(
        one["response"]["body"]["usage"]["total_tokens"] for one in answers
    )


def test_openai_lists_pages_and_removes(kept_url: str) -> None:
    asking = client(kept_url, "b")
    batches = [begin(asking, jsonl(request(0, "a"))).id for _ in range(5)]
    for one in batches:
        polled(partial(asking.batches.retrieve, one))
    assert [one.id for one in asking.batches.list(limit=2)] == batches[::-1]  # three pages
    inputs = [one.id for one in asking.files.list(purpose="batch", order="asc", limit=2)]
    assert len(inputs) == 5
    for one in inputs:
        assert asking.files.delete(one).deleted
    assert [one.purpose for one in asking.files.list()] == ["batch_output"] * 5
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        asking.files.retrieve(inputs[0])


def test_openai_cancels(kept_url: str) -> None:
    asking = client(kept_url)
    content = jsonl(*(request(number, "a text of some length " * 9) for number in range(20_000)))
    batch = begin(asking, content)
    while not asking.batches.retrieve(batch.id).request_counts.completed:
        time.sleep(0.05)
    assert asking.batches.cancel(batch.id).status == "cancelling"
    batch = polled(partial(asking.batches.retrieve, batch.id))
    assert batch.status == "cancelled"
    done, left = lines(asking, batch.output_file_id), lines(asking, batch.error_file_id)
    assert [one["custom_id"] for one in done + left] == [f"r{n}" for n in range(20_000)]
    assert {one["error"]["code"] for one in left} == {"batch_cancelled"}
    with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
        asking.batches.cancel(batch.id)


def test_openai_reads_what_is_wrong_with_a_file(kept_url: str) -> None:
    asking = client(kept_url)
    batch = begin(asking, jsonl(request(0, "a"), request(0, "b")) + b"{\n")
    batch = polled(partial(asking.batches.retrieve, batch.id))
    assert (batch.status, batch.output_file_id) == ("failed", None)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(one.code, one.line) for one in batch.errors.data] == [
        ("duplicate_custom_id", 2),
        ("invalid_json_line", 3),
    ]


def test_openai_sees_nothing_of_another_key(kept_url: str) -> None:
    theirs = client(kept_url, "a")
    batch = begin(theirs, jsonl(request(0, "a")))
    mine = client(kept_url, "b")
    with pytest.raises(openai.NotFoundError):
        mine.batches.retrieve(batch.id)
    with pytest.raises(openai.NotFoundError):
        mine.files.content(batch.input_file_id)
    with pytest.raises(openai.NotFoundError):
        begin_with(mine, batch.input_file_id)
    assert batch.id not in [one.id for one in mine.batches.list()]


def begin_with(asking: openai.OpenAI, file_id: str) -> Batch:
    return asking.batches.create(
        input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h"
    )


def test_openai_learns_how_to_enable_it(url: str) -> None:
    with pytest.raises(openai.NotFoundError, match="--batch-dir FOLDER"):
        client(url).batches.list()


def test_openai_asynchronous_with_a_file_of_many_megabytes(kept_url: str, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes((b" " * 999 + b"\n") * 40_000)

    async def upload() -> bytes:
        async with openai.AsyncOpenAI(base_url=f"{kept_url}/v1", api_key="a") as asking:
            file = await asking.files.create(file=path, purpose="batch")
            assert file.bytes == path.stat().st_size
            content: bytes = (await asking.files.content(file.id)).content
            return content

    assert asyncio.run(upload()) == path.read_bytes()


def test_litellm_from_a_file_to_its_vectors(open_url: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(*(request(number, text) for number, text in enumerate(TEXTS))))
    over: dict[str, Any] = {
        "custom_llm_provider": "openai",
        "api_base": f"{open_url}/v1",
        "api_key": "none",
    }
    with path.open("rb") as content:
        file = litellm.create_file(file=content, purpose="batch", **over)
    batch = litellm.create_batch(
        completion_window="24h", endpoint="/v1/embeddings", input_file_id=file.id, **over
    )
    batch = polled(lambda: litellm.retrieve_batch(batch_id=batch.id, **over))
    assert batch.status == "completed"
    found = litellm.file_content(file_id=batch.output_file_id, **over).text
    answers = [json.loads(line) for line in found.splitlines()]
    vectors = [one["response"]["body"]["data"][0]["embedding"] for one in answers]
    assert_same(vectors, post(f"{open_url}/embed", {"inputs": TEXTS}))


def block(language: str) -> str:
    """Return the page's only block in a language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_page_shows_what_works(open_url: str, tmp_path: Path, language: str) -> None:
    program = block(language).replace("http://127.0.0.1:8000", open_url)
    command = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
    done = subprocess.run(
        [*command, program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    if language == "python":
        assert done.stdout.splitlines() == ["text-0 384", "text-1 384"]
    else:
        [line] = done.stdout.splitlines()
        assert len(json.loads(line)["response"]["body"]["data"][0]["embedding"]) == 384
