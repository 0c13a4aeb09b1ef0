"""llama.cpp as a peer of the bench: messages where it is missing."""

import sys
from pathlib import Path

import pytest

from tools.bench.peers.llama import missing, version


@pytest.mark.parametrize("program", [Path("/bin/false"), Path("no/such/program")])
def test_a_missing_llama_server_is_named_with_the_remedy(program: Path) -> None:
    fault = missing(program)
    assert fault == f"{program} is no llama-server: docs/performance.md says how to build one"


def test_a_program_with_a_version_is_accepted(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\necho 'version: 7123 (0c1e570)' >&2\n")
    program.chmod(0o755)
    assert missing(program) is None
    assert version(program) == "7123"


def test_another_program_has_no_known_version() -> None:
    assert version(Path(sys.executable)) == "of no known version"
