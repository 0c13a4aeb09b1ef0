"""Command line: options read from flags and the environment, and their `--help`.

An option is a field of a dataclass whose metadata say how its text is parsed and what it is for. A
flag beats the environment, the environment beats the default.
"""

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from app import __version__

T = TypeVar("T")
D = TypeVar("D")


class UsageError(Exception):
    """An option has a value that it cannot take; the process exits with 2."""


def option(
    parse: Callable[[str], T], default: D, text: str, *, flag: str | None = None, **extra: Any
) -> T | D:
    """Declare an option: `parse` raises ValueError for an invalid text, `text` is its help.

    `flag` is a second, short name; `section` is the heading of it and those that follow in --help;
    `bare` can be given without a value; `secret` is not logged, `hidden` not shown; `variable`
    reads values that only the environment may hold, where `empty` says what to do about an empty
    one, which counts as unset otherwise. `each` has a value for each model: `read` returns all of
    them, from a flag that is repeated, or from a variable that separates them by commas.
    """
    return field(default=default, metadata={"parse": parse, "help": text, "flag": flag, **extra})


def required(parse: Callable[[str], T], text: str, **extra: Any) -> T:
    """Declare an option that has no default."""
    found: T = field(metadata={"parse": parse, "help": text, "flag": None, **extra})
    return found


def repeated(parse: Callable[[str], T], text: str, **extra: Any) -> tuple[Any, ...]:
    """Declare an option that may be given several times, and has all of the values.

    `together` makes its values of all those that were parsed; it raises UsageError.
    """
    none: tuple[T, ...] = ()
    metadata = {"parse": parse, "help": text, "flag": None, "repeated": True, **extra}
    return field(default=none, metadata=metadata)


def ignored(reason: str, **extra: Any) -> str | None:
    """Declare an option of TEI that has no meaning here, so that commands with it still work."""
    text = f"accepted as TEI does, and not used: {reason}"
    return option(str, None, text, ignored=True, **extra)


def shown(options: Any) -> str:
    """Return the options of an instance that were changed, for the log, without secrets."""

    def value(declared: "Field[Any]") -> str:
        return "***" if declared.metadata.get("secret") else repr(getattr(options, declared.name))

    changed = (one for one in fields(options) if getattr(options, one.name) != one.default)
    return ", ".join(f"{one.name}={value(one)}" for one in changed)


def flag_name(declared: "Field[Any]") -> str:
    """Return an option's flag: `--max-batch-tokens` for `max_batch_tokens`."""
    return "--" + declared.name.replace("_", "-")


def environment_name(declared: "Field[Any]") -> str:
    """Return an option's variable: `MAX_BATCH_TOKENS` for `max_batch_tokens`."""
    return declared.name.upper()


def read(
    options: Sequence["Field[Any]"], arguments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the values of the options that were given, by name.

    Raises: UsageError naming the option and the value; SystemExit for --help and --version.
    """
    known, unknown = _parser(options).parse_known_args(arguments)
    if unknown:  # the value of a mistyped option may be a secret
        option = unknown[0].partition("=")[0]
        if not option.startswith("--"):
            raise UsageError("unrecognized argument without an option's name")
        raise UsageError(f"unrecognized argument {option}{_near(option, options)}")
    given = vars(known)
    values: dict[str, Any] = {}
    for declared in options:
        text = given[declared.name]
        if text is None:
            text = _from_environment(declared, environment)
            if text is not None and (final := _of_the_environment(declared, text)) is not None:
                values[declared.name] = final
                continue
        if text is not None:
            values[declared.name] = _parse(declared, text)
    return values


def _near(option: str, options: Sequence["Field[Any]"]) -> str:
    """Suggest the option that was probably meant, if one is similar."""
    names = [flag_name(one) for one in options if not one.metadata.get("hidden")]
    wanted = option.lower().replace("_", "-")
    if wanted == "--":
        return ""
    found = [one for one in names if one.startswith(wanted)] or difflib.get_close_matches(
        wanted, names, n=1, cutoff=0.75
    )
    return f": did you mean {' or '.join(found)}?" if found else ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(message)


class _Once(argparse.Action):
    """Takes an option's one value; if there are two, one may be a mistake."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        if getattr(namespace, self.dest) is not None:
            raise UsageError(f"{self.option_strings[0]} is given twice: leave one out")
        setattr(namespace, self.dest, values)


def _parser(options: Sequence["Field[Any]"]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m app",
        usage="%(prog)s --model-id MODEL [--model-id MODEL …] [--port PORT] [option …]",
        description="Serve an embedding, classification or reranking model over HTTP. "
        "A flag beats its environment variable, which stands in brackets behind it.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=__version__)
    group = parser.add_argument_group("model")
    for declared in options:
        extra = declared.metadata
        if "section" in extra:
            group = parser.add_argument_group(extra["section"])
        names = [flag_name(declared), *([extra["flag"]] if extra["flag"] else [])]
        is_switch = isinstance(declared.default, bool)
        shown = str(declared.default).lower() if is_switch else declared.default
        default = "" if declared.default in {MISSING, None, ()} else f"; default {shown}"
        kind: dict[str, Any] = {"nargs": "?", "const": "true"} if extra.get("bare") else {}
        kind["action"] = "append" if extra.get("repeated") or extra.get("each") else _Once
        text = f"{extra['help']} [{environment_name(declared)}{default}]"
        if extra.get("hidden"):
            text = argparse.SUPPRESS
        group.add_argument(*names, help=text, metavar=_value_name(declared), **kind)
    return parser


def _value_name(declared: "Field[Any]") -> str:
    """Return what stands for an option's value in --help: `--models-dir DIR`."""
    if isinstance(declared.default, bool):
        return "true|false"
    return declared.name.rpartition("_")[2].upper()


def _from_environment(declared: "Field[Any]", environment: Mapping[str, str]) -> Any:
    name = environment_name(declared)
    text = environment.get(name)
    if text == "" and "empty" in declared.metadata:
        raise UsageError(f"{name} is empty: {declared.metadata['empty']}")
    if text and declared.metadata.get("each"):
        return [one.strip() for one in text.split(",")]
    if text and declared.metadata.get("repeated"):
        return [text]
    return text or None


def _of_the_environment(declared: "Field[Any]", text: Any) -> Any:
    """Return the value if only a variable can hold it; it is then not parsed."""
    read_variable = declared.metadata.get("variable")
    return read_variable(text) if read_variable is not None else None


def _parse(declared: "Field[Any]", text: Any) -> Any:
    if isinstance(text, list):
        together: Callable[[Sequence[Any]], Any] = declared.metadata.get("together", tuple)
        return together([_parse(declared, one) for one in text])
    try:
        return declared.metadata["parse"](text)
    except ValueError as error:
        raise UsageError(
            f"invalid value {text!r} for {flag_name(declared)} "
            f"(environment: {environment_name(declared)}): {error}"
        ) from None
