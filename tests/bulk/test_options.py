"""Options of a job, and what is refused."""

from pathlib import Path
from typing import get_args

import pytest

from app.bulk.options import BulkOptions
from app.bulk.rows import Columns
from app.model.names import OutputDtype
from app.options.command_line import UsageError

LEAST = ["a.jsonl", "--output", "out", "--model-id", "m"]


def test_defaults() -> None:
    options, settings = BulkOptions.read(LEAST, {})
    assert options == BulkOptions(
        inputs=(Path("a.jsonl"),),
        output=Path("out"),
        columns=Columns("text", None),
        format="parquet",
        dtype="float",
        dimensions=None,
        normalize=True,
        shard_rows=100_000,
        resume=False,
    )
    assert settings.model_id == "m"


def test_every_option_and_those_of_the_model() -> None:
    options, settings = BulkOptions.read(
        [
            *("a.jsonl", "b.csv.gz", "--text-column", "body", "--id-column", "key"),
            *("--output", "out", "--output-format", "npy", "--output-dtype", "int8"),
            *("--dtype", "float32", "--dimensions", "64", "--normalize", "false"),
            *("--shard-rows", "10", "--resume", "--threads", "2"),
        ],
        {"MODEL_ID": "m"},
    )
    assert options == BulkOptions(
        inputs=(Path("a.jsonl"), Path("b.csv.gz")),
        output=Path("out"),
        columns=Columns("body", "key"),
        format="npy",
        dtype="int8",
        dimensions=64,
        normalize=False,
        shard_rows=10,
        resume=True,
    )
    assert (settings.model_id, settings.dtype, settings.threads) == ("m", "float32", 2)


@pytest.mark.parametrize("dtype", get_args(OutputDtype))
def test_output_types(dtype: OutputDtype) -> None:
    assert BulkOptions.read([*LEAST, "--output-dtype", dtype], {})[0].dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "an INPUT is required, before all options"),
        (LEAST[1:], "an INPUT is required, before all options"),
        (["a.jsonl", "--model-id", "m"], "--output is required"),
        (LEAST[:3], "--model-id is required (environment: MODEL_ID)"),
        ([*LEAST, "--dimensions", "0"], "argument --dimensions: '0': must be at least 1"),
        ([*LEAST, "--shard-rows", "x"], "argument --shard-rows: 'x': "),
        ([*LEAST, "--output-dtype", "int4"], "argument --output-dtype: invalid choice: 'int4'"),
        ([*LEAST, "--outputs", "x"], "unrecognized argument --outputs"),
        ([*LEAST, "--model-id", "other"], "a job computes with one model"),
        ([*LEAST, "b.jsonl"], "unrecognized argument without an option's name"),
    ],
)
def test_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        BulkOptions.read(arguments, {})
    assert str(raised.value).startswith(message)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        BulkOptions.read(["--help"], {})
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert "python -m app.bulk INPUT… --output FOLDER --model-id MODEL" in text
    assert "--resume" in text
