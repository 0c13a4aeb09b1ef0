"""python -m export MODEL: convert a Hugging Face model, prove the result, publish its folder.

`--list` shows what has been exported, `--check FOLDER` proves a folder again on this machine.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from export.cli import already_exported, parse, understood
from export.errors import ExportError
from export.progress import print_lines

logger = logging.getLogger("export")

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(arguments: Sequence[str]) -> int:
    """Export one model; the exit status is 0, 1 for a failure, 2 for wrong usage."""
    print_lines()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _terminate)
    try:
        _work(arguments)
    except ExportError as error:
        return _fail(str(error))
    except ImportError as error:
        return _fail(f"{_first_line(error)}: install what the export needs (make setup)")
    except OSError as error:
        return _fail(_explain(error, _place_option(arguments)))
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was published", status=128 + signal.SIGINT)
    return 0


def _work(arguments: Sequence[str]) -> None:
    """Look at what has been exported, do one step for another program, or export a checkpoint."""
    if _has(arguments, "--list"):
        from export.folder import listing

        listing.show(listing.parse(arguments, os.environ))
        return
    if _has(arguments, "--check"):
        from export.folder import check

        check.check(check.parse(arguments, os.environ))
        return
    if _has(arguments, "--fetch"):
        from export.source import fetch

        fetch.fetch(fetch.parse(arguments))
        return
    if _has(arguments, "--from-onnx"):
        from export.from_onnx import preparation

        preparation.prepare(preparation.parse(arguments))
        return
    if _has(arguments, "--originals"):
        from export.from_torch import originals

        originals.make(*originals.parse(arguments))
        return
    if _has(arguments, "--tokenizer"):
        from export.from_torch import settled_tokenizer

        settled_tokenizer.settle(*settled_tokenizer.parse(arguments))
        return
    if _has(arguments, "--merge"):
        from export.from_torch import adapter

        adapter.merge(*adapter.parse(arguments))
        return
    request = understood(parse(arguments, os.environ), os.environ)
    if request.if_missing and (folder := already_exported(request)):
        logger.info("%s is there already", folder)
        return
    # Only now: a start that finds its model exported must not wait for this.
    from export import pipeline

    pipeline.export(request)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    """Unwind as for an error, so that whatever is half done is removed."""
    sys.exit(128 + number)


def _has(arguments: Sequence[str], option: str) -> bool:
    return any(argument.partition("=")[0] == option for argument in arguments)


def _place_option(arguments: Sequence[str]) -> str:
    """The option of export or server that says where is written."""
    if _has(arguments, "--fetch"):
        return "--huggingface-hub-cache"
    return "--cache-dir" if _has(arguments, "--from-onnx") else "--models-dir"


def _explain(error: OSError, option: str) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in _NO_SPACE:
        return f"no space left to write{place}: free some, or name another place by {option}"
    if error.errno is None:  # a library's own, which says what is wrong
        return _first_line(error)
    return f"{error.strerror}{place}: check the path and its permissions"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _fail(message: str, status: int = 1) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
