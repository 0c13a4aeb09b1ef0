"""A job's identity: a folder never holds vectors of two kinds."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.bulk import program
from app.bulk.computing import opened
from app.bulk.identity import OPTIONS, metadata
from app.bulk.options import BulkOptions
from app.inference.admission import Admission, AdmissionOptions
from app.inference.served_model import ServedModel
from app.model.names import POOLED_OUTPUTS, SENTENCE_EMBEDDING
from app.model.parts import Route
from app.options.settings import Settings
from tools import tiny

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a job over one text into `out`; return the exit code and the output."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": "a"}\n')

    def run_job(*arguments: str) -> tuple[int, str]:
        given = [str(path), *arguments, "--output", str(tmp_path / "out")]
        code = program.main([*given, "--model-id", str(tiny_model), "--provider", "cpu"], {})
        return code, capfd.readouterr().err

    return run_job


def routed(model: ServedModel, settings: Settings) -> Any:
    """Return the same model with two routes, as far as its metadata say."""
    routes = (
        Route("small", ("query",), POOLED_OUTPUTS["cls"], 12),
        Route("large", ("document",), SENTENCE_EMBEDDING, 20),
    )
    manifest = replace(model.manifest, routes=routes, default_route="large", prompts={})
    admission = Admission(AdmissionOptions.of(settings, manifest), model.loaded.tokenization)
    return SimpleNamespace(
        manifest=manifest,
        settings=settings,
        loaded=model.loaded,
        engine=SimpleNamespace(admission=admission),
    )


@pytest.mark.parametrize(
    ("option", "value", "difference"),
    [
        ("--pooling", "cls", "pooling (--pooling) is 'mean', not 'cls'"),
        (
            "--max-batch-tokens", "8",
            f"max_input_length (--max-batch-tokens) is '{tiny.MAX_LENGTH}', not '8'",
        ),
        ("--auto-truncate", "false", "auto_truncate (--auto-truncate) is 'true', not 'false'"),
        (
            "--default-prompt", "b ",
            "prompt (--default-prompt, --default-prompt-name) is '', not 'b '",
        ),
        (
            "--default-prompt-name", "query",
            f"prompt (--default-prompt, --default-prompt-name) is '', not {tiny.PROMPTS['query']!r}",
        ),
        ("--output-dtype", "float16", "dtype (--output-dtype) is 'float', not 'float16'"),
        ("--dimensions", "4", f"dimensions (--dimensions) is '{tiny.DIMENSIONS}', not '4'"),
        ("--normalize", "false", "normalized (--normalize) is 'true', not 'false'"),
        ("--text-column", "id", "text_column (--text-column) is 'text', not 'id'"),
        ("--output-format", "npy", "format (--output-format) is 'parquet', not 'npy'"),
    ],
)  # fmt: skip
def test_a_job_is_not_resumed_with_another_option(
    run: Run, tmp_path: Path, option: str, value: str, difference: str
) -> None:
    assert run() == (0, "")
    assert run(option, value, "--resume") == (
        1,
        f"Error: --output {tmp_path / 'out'} holds another job: its {difference}; name another "
        "folder\n",
    )
    assert run("--resume") == (0, "")


def test_an_option_that_changes_no_vector_may_change(run: Run) -> None:
    assert run("--pooling", "mean") == (0, "")  # the model's own
    assert run("--threads", "1", "--max-batch-tokens", "1000", "--resume") == (0, "")


def test_a_route_is_chosen_by_a_name_even_without_a_prompt(tiny_model: Path) -> None:
    given = ["a.jsonl", "--output", "out", "--model-id", str(tiny_model), "--provider", "cpu"]
    options, settings = BulkOptions.read(given, {})
    model = opened(tiny_model, settings)
    large = metadata(options, routed(model, settings))
    small = metadata(options, routed(model, replace(settings, default_prompt_name="query")))
    asyncio.run(model.close(1.0))
    assert (large["route"], large["max_input_length"], large["prompt"]) == ("large", "20", "")
    assert (small["route"], small["max_input_length"], small["prompt"]) == ("small", "12", "")


def test_every_fact_but_the_version_has_its_option(run: Run, tmp_path: Path) -> None:
    assert run() == (0, "")
    found = json.loads((tmp_path / "out" / "_job" / "job.json").read_text())
    assert found.keys() - {"made_by"} == OPTIONS.keys()
