"""The C library's number of arenas for threads that allocate concurrently."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.process import ROOT

PROGRAM = """
import ctypes, os, sys, threading
from app.server.allocator import limit_arenas

if sys.argv[1] == "limited":
    limit_arenas(os.environ)
library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)


def allocate():
    library.malloc(1000)
    together.wait()


threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(library.fopen(sys.argv[2].encode(), b"w"))
library.malloc_info(0, stream)
library.fclose(stream)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")


@pytest.mark.parametrize(
    ("argument", "setting", "expected"),
    [("limited", None, 2), ("limited", "5", 5), ("unlimited", None, 9)],
)
def test_threads_share_two_arenas_unless_the_environment_says_otherwise(
    argument: str, setting: str | None, expected: int, tmp_path: Path
) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    if setting is not None:
        environment["MALLOC_ARENA_MAX"] = setting
    found = tmp_path / "malloc.xml"
    command = [sys.executable, "-c", PROGRAM, argument, str(found)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert len(re.findall("<heap nr=", found.read_text())) == expected
