"""Generated requests against a running server of each kind: its description holds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.model.names import Task
from tools import tiny
from tools.process import Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

# Few of the generated texts can be a model's id in a path.
ANY_TEXT = ("--suppress-health-check", "filter_too_much")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["embedding", "splade", "classifier", "reranker"])
def test_no_generated_request_contradicts_the_description(task: Task, tmp_path: Path) -> None:
    tiny.build(tmp_path / task, task)
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None
    kept = ["--batch-dir", str(tmp_path / "kept")] if task == "embedding" else []
    server = Server("--model-id", str(tmp_path / task), *kept, log=tmp_path / "log")
    try:
        server.wait_ready()
        url = f"{server.url}/api-doc/openapi.json"
        run = subprocess.run(
            [program, "run", url, "-c", CHECKS, "--max-examples", "60", "--no-color", *ANY_TEXT],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.stop()
    assert run.returncode == 0, run.stdout
    generated = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert generated is not None, run.stdout
    assert int(generated[1]) == int(generated[2]) >= 2000
