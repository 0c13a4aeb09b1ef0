"""The program: what prevents a start, and its message."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wire import client, embed
from tools import tiny
from tools.process import ROOT, Server, free_port, launch, variables


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["--port", "x"], {}, 2, "invalid value 'x' for --port"),
        (["--no-such-flag"], {}, 2, "unrecognized argument --no-such-flag"),
        ([], {"MODEL_ID": ""}, 2, "--model-id is required"),
        (["--model-id", "no/such"], {}, 1, "run: make export MODEL_ID=no/such"),
        (
            ["--model-id", "no/such", "--revision", "v2"],
            {},
            1,
            "make export MODEL_ID=no/such REVISION=v2",
        ),
        (["--help"], {}, 0, "--max-client-batch-size"),
        (["--version"], {}, 0, "0."),
    ],
)
def test_a_failed_start_says_why_and_exits(
    arguments: list[str], environment: dict[str, str], code: int, text: str
) -> None:
    process = launch(arguments, environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code
    assert text in output
    assert "Traceback" not in output


def test_two_models_are_served_from_one_process(tmp_path: Path) -> None:
    tiny.build(tmp_path / "dense")
    tiny.build(tmp_path / "ranks", "reranker")
    paths = f"{tmp_path / 'dense'}, {tmp_path / 'ranks'}"
    with Server(environment={"MODEL_ID": paths, "SERVED_MODEL_NAME": "dense,ranks"}) as server:
        server.wait_ready()
        listed = server.get("/v1/models").json["data"]
        assert [one["id"] for one in listed] == ["dense", "ranks"]
        assert server.post("/v1/embeddings", {"input": "a", "model": "dense"}).status == 200
        assert server.post("/tei/ranks/rerank", {"query": "a", "texts": ["b"]}).status == 200
        server.signal()
        assert server.process.wait(60) == 0


def test_one_of_two_models_that_is_not_there_is_named(tmp_path: Path) -> None:
    tiny.build(tmp_path)
    failed = Server("--model-id", str(tmp_path), "--model-id", "no/such")
    output = failed.output()
    assert failed.process.returncode == 1
    assert "Error: --model-id no/such: no/such is not exported" in output


def test_a_damaged_model_exits_with_1_and_names_the_file(tmp_path: Path) -> None:
    tiny.build(tmp_path / "model")
    (tmp_path / "model" / "model.onnx.data").write_bytes(b"")
    failed = Server("--model-id", str(tmp_path / "model"))
    output = failed.output()
    assert failed.process.returncode == 1
    assert "model.onnx.data is not the file that was exported" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("manifest.json", "Permission denied"),
        ("tokenizer.json", "Permission denied"),
        ("model.onnx.data", "Permission denied"),
        ("tokenizer.json", "No such file or directory"),
        ("model.onnx.data", "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_exits_with_1_and_is_named(
    tmp_path: Path, name: str, fault: str
) -> None:
    tiny.build(tmp_path)
    path = tmp_path / name
    path.chmod(0) if fault == "Permission denied" else path.unlink()
    # Root may read everything, unless that right is dropped.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * (os.geteuid() == 0)
    port = free_port()
    program = [sys.executable, "-m", "app", "--model-id", str(tmp_path), "--port", str(port)]
    ended = subprocess.run([*plain, *program], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {path} cannot be read: ")
    assert fault in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("log", [["--json-output"], ["--log-level", "off"]])
def test_why_a_start_failed_is_a_line_on_standard_error(log: list[str]) -> None:
    program = [sys.executable, "-m", "app", "--model-id", "./no\nne", *log, "--port", "0"]
    ended = subprocess.run(program, cwd=ROOT, env=variables(), capture_output=True, text=True)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(r"Error: --model-id: ./no\nne is not a folder")
    logged = [json.loads(one) for one in ended.stdout.splitlines()]
    assert {one["level"] for one in logged} == ({"INFO"} if "off" not in log else set())


def test_a_wrong_usage_exits_with_2_without_a_reader() -> None:
    program = [sys.executable, "-m", "app", "--model-id", "m", "--port", "none"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        ended = subprocess.run(program, cwd=ROOT, env=variables(), stdout=unread, stderr=unread)
    assert ended.returncode == 2


def test_an_occupied_port_exits_with_1(tiny_model: Path, server: Server) -> None:
    second = Server("--model-id", str(tiny_model), port=server.port)
    output = second.output()
    assert second.process.returncode == 1
    [line] = [line for line in output.splitlines() if "INFO" not in line]
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{server.port}: Address")
    assert "Maximum number of tokens" not in output  # the first line of loading


def test_cuda_that_is_not_there_exits_with_1_and_the_remedy(tiny_model: Path) -> None:
    failed = Server("--model-id", str(tiny_model), "--provider", "cuda")
    output = failed.output()
    assert failed.process.returncode == 1
    assert "onnxruntime has no CUDA provider" in output


def test_the_server_needs_no_export_tools(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers", "optimum", "onnx", "sentence_transformers"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not in the image')")
    running = Server("--model-id", str(tiny_model), environment={"PYTHONPATH": str(tmp_path)})
    running.wait_ready()
    with client(running) as connection:
        embed(connection)
    running.signal()
    running.output()
    assert running.process.returncode == 0
