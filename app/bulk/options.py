"""Options: a job's inputs and outputs; those of the model are the server's."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from app.bulk.rows import Columns
from app.bulk.writing.shards import Format
from app.model.names import OutputDtype
from app.options import values
from app.options.command_line import UsageError
from app.options.settings import Settings

Boolean = Literal["true", "false"]
SHARD_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """The options of one job."""

    inputs: tuple[Path, ...]
    output: Path
    columns: Columns
    format: Format
    dtype: OutputDtype
    dimensions: int | None
    normalize: bool
    shard_rows: int
    resume: bool

    @classmethod
    def read(
        cls, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[Self, Settings]:
        """Read a job's options, and those of its model.

        Raises: UsageError naming the option and the value; SystemExit for --help and --version.
        """
        count = next(
            (place for place, one in enumerate(arguments) if one.startswith("-")), len(arguments)
        )
        given, rest = _parser().parse_known_args(arguments[count:])
        if count == 0:
            raise UsageError("an INPUT is required, before all options")
        if given.output is None:
            raise UsageError("--output is required")
        settings, *others = Settings.read_each(rest, environment)
        if others:
            raise UsageError("a job computes with one model: give --model-id (MODEL_ID) once")
        return cls(
            inputs=tuple(Path(one) for one in arguments[:count]),
            output=given.output,
            columns=Columns(given.text_column, given.id_column),
            format=given.output_format,
            dtype=given.output_dtype,
            dimensions=given.dimensions,
            normalize=given.normalize == "true",
            shard_rows=given.shard_rows,
            resume=given.resume,
        ), settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m app.bulk",
        usage="%(prog)s INPUT… --output FOLDER --model-id MODEL [option …]",
        description="Embed files of texts into files of vectors. An INPUT is JSON Lines or CSV, "
        "plain or compressed (.gz, .zst), or Parquet.",
        epilog="Options of python -m app that concern the model hold here as well, such as "
        "--dtype, --provider, --threads, --default-prompt-name and --auto-truncate.",
        allow_abbrev=False,
    )

    def add(name: str, text: str, **extra: Any) -> None:
        parser.add_argument(name, help=text, **{"metavar": "VALUE", **extra})

    add("--output", "the folder to write to", type=Path, metavar="FOLDER")
    parser.add_argument("--resume", action="store_true", help="go on with the folder's job")
    add("--text-column", "the column, or key, of the texts; default text", default="text")
    add("--id-column", "that of the ids; default id if there is one, else the row's number")
    add("--output-format", "parquet or npy; default parquet", choices=get_args(Format),
        default="parquet")  # fmt: skip
    add("--output-dtype", f"{', '.join(get_args(OutputDtype))}; default float",
        choices=get_args(OutputDtype), default="float")  # fmt: skip
    add("--dimensions", "the first dimensions alone", type=_positive)
    add("--normalize", "false for vectors as the model yields them; default true",
        choices=get_args(Boolean), default="true")  # fmt: skip
    add("--shard-rows", f"rows of one file; default {SHARD_ROWS:,}", type=_positive,
        default=SHARD_ROWS)  # fmt: skip
    return parser


def _positive(text: str) -> int:
    try:
        return values.positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
