"""python -m export MODEL: convert a Hugging Face model, prove the result, publish its folder.

`--list` shows what has been exported, `--check FOLDER` proves a folder again on this machine.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, MappingProxyType
from typing import NoReturn

from export.cli import Request, already_exported, parse, understood
from export.errors import ExportError, first_line
from export.progress import print_fault, print_lines

logger = logging.getLogger("export")

# Flags that make the program do something other than export a checkpoint.
_OTHERS = ("--list", "--check", "--fetch", "--from-onnx", "--originals", "--tokenizer", "--merge")
# The option that names the place to write to, for error messages. The server runs these two steps.
_PLACES: Mapping[str | None, str] = MappingProxyType(
    {"--fetch": "--huggingface-hub-cache", "--from-onnx": "--cache-dir"}
)
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: Sequence[str]) -> int:
    """Run the program, and return its exit status: 0, 1 for a failure, 130 if interrupted.

    Raises: SystemExit with status 2 for wrong usage, or with 128 + N on SIGTERM or SIGHUP.
    """
    print_lines()
    names = {argument.partition("=")[0] for argument in arguments}
    flag = next((one for one in _OTHERS if one in names), None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP
            signal.signal(number, _terminate)
    try:
        _work(flag, arguments)
    except ExportError as error:
        return _fail(str(error))
    except ImportError as error:
        return _fail(f"{first_line(error)}: install what the export needs (make setup)")
    except OSError as error:
        return _fail(_explain(error, _PLACES.get(flag, "--models-dir")))
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was published", status=128 + signal.SIGINT)
    return 0


def _work(flag: str | None, arguments: Sequence[str]) -> None:
    """Do what the flag asks for; without one, export a checkpoint.

    Each case imports only what it needs: some modules take seconds, or are not installed.
    """
    match flag:
        case "--list":
            from export.folder import listing

            listing.show(listing.parse(arguments, os.environ))
        case "--check":
            from export.folder import check

            check.check(check.parse(arguments, os.environ))
        case "--fetch":
            from export.source import fetch

            fetch.fetch(fetch.parse(arguments))
        case "--from-onnx":
            from export import pipeline
            from export.from_onnx import preparation

            pipeline.prepare(preparation.parse(arguments))
        case "--originals":
            from export.from_torch import originals

            originals.main(arguments)
        case "--tokenizer":
            from export.from_torch import settled_tokenizer

            settled_tokenizer.main(arguments)
        case "--merge":
            from export.from_torch import adapter

            adapter.main(arguments)
        case _:
            _export(understood(parse(arguments, os.environ), os.environ))


def _export(request: Request) -> None:
    if request.if_missing and (folder := already_exported(request)):
        from export import renewal

        anew = renewal.of(request, folder)
        if anew is None:
            logger.info("%s is there already", folder)
            return
        request = anew
    from export import pipeline

    pipeline.export(request)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    """Exit by SystemExit, so that unfinished files are removed on the way."""
    sys.exit(128 + number)


def _explain(error: OSError, option: str) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in _NO_SPACE:
        return f"no space left to write{place}: free some, or name another place by {option}"
    if error.errno is None:  # raised by a library, with a message of its own
        return first_line(error)
    return f"{error.strerror}{place}: check the path and its permissions"


def _fail(message: str, status: int = 1) -> int:
    print_fault(message)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
