"""The build: skipped with a message where it cannot be done, and loops as fast as intended."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.operators import build, library
from tests.support.operators import Operators
from tools import process

PRODUCT = re.compile(r"vpmaddwd|vpdpwssd")
STORE = re.compile(r"v\S+\s.*\)$")  # of a vector: the target is the last operand
JUMP = re.compile(r"j\w+\s+([0-9a-f]+) <")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.operators.build", *arguments],
        cwd=process.ROOT,
        env=process.variables(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_compiler_nothing_is_built_and_that_is_said(tmp_path: Path) -> None:
    done = run(str(tmp_path / "operators.so"), CC="/no/such/compiler")
    assert done.returncode == 0
    assert done.stdout.startswith("int16, faster than float32, will not be there: ")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_compiler_is_an_error(runner: Operators, tmp_path: Path) -> None:
    assert runner.path
    done = run(str(tmp_path / "operators.so"), CC="cc -DMOST_DEPTH=!")
    assert done.returncode == 1
    assert "error" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_sources_are_short() -> None:
    sources = [path.read_text("utf-8") for path in library.FOLDER.glob("*.[ch]")]
    lines = [line for source in sources for line in source.splitlines()]
    assert len(lines) <= 800
    assert max(map(len, lines)) <= 100


def test_it_needs_no_other_libraries(runner: Operators) -> None:
    content = runner.path.read_bytes()
    needed = set(re.findall(rb"lib[a-z+]+\.so\.\d+", content))
    assert needed <= {b"libc.so.6", b"libm.so.6"}


def test_a_build_is_there_whole_with_its_digest(runner: Operators, tmp_path: Path) -> None:
    """Without optimization, which compiles fast, the result can be used as well."""
    assert runner.path
    path = tmp_path / "folder" / "operators.so"
    build.build(path, "-O1")
    assert library.fault(path) is None
    assert {one.name for one in path.parent.iterdir()} == {path.name, f"{path.name}.sha256"}


def test_the_loops_over_products_keep_their_sums_in_registers(runner: Operators) -> None:
    """Storing and loading a sum each time costs a quarter of the speed, but changes no answer."""
    code = disassembled(runner.path)
    # An array set to zero was not unrolled in time: sums are copied from and to it.
    assert not [name for name in code if "sum_rows" in name and "rep stos" in str(code[name])]
    products: dict[str, set[int]] = {}
    for function, loop in inner_loops(code):
        count = sum(bool(PRODUCT.search(line)) for line in loop)
        if count:
            stored = [line for line in loop if STORE.match(line)]
            assert not stored, (function, count, stored)
            assert len(loop) <= 3.1 * count + 12, (function, count, len(loop))
            products.setdefault(function, set()).add(count)
    if not products:  # a compiler may inline them into a function of another name
        pytest.fail("no loop over products was found")
    everything = set().union(*products.values())
    assert {2 * rows for rows in range(1, 13)} <= everything


@pytest.mark.parametrize(
    ("function", "instruction"),
    [("compute_middle", "vdivps"), ("compute_middle", "vfmadd.*ps"), ("quantize", "vfmadd.*ps")],
)
def test_rows_are_rounded_and_activated_as_vectors(
    runner: Operators, function: str, instruction: str
) -> None:
    """In each kernel but the plain one, which has 128-bit vectors without such instructions."""
    codes = [
        "\n".join(line for _, line in code)
        for name, code in disassembled(runner.path).items()
        if name.startswith(f"{function}@")
    ]
    assert len(codes) == len(build.KERNELS)
    vectors = [code for code in codes if re.search(f"{instruction}.*%[yz]mm", code)]
    assert len(vectors) == len(codes) - 1


Code = dict[str, list[tuple[int, str]]]


def disassembled(path: Path) -> Code:
    """Return each function's instructions with their addresses, by its name and address."""
    objdump = shutil.which("objdump")
    assert objdump is not None, "objdump comes with every compiler"
    done = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: Code = {}
    function: list[tuple[int, str]] = []
    for line in done.stdout.splitlines():
        if (start := re.match(r"([0-9a-f]+) <(.+)>:", line)) is not None:
            function = found.setdefault(f"{start[2]}@{start[1]}", [])
        elif (one := re.match(r"\s*([0-9a-f]+):\s+(.*)", line)) is not None:
            function.append((int(one[1], 16), one[2]))
    return found


def inner_loops(code: Code) -> Iterator[tuple[str, list[str]]]:
    """Return the instructions between a backward jump and its target, without other jumps."""
    for name, instructions in code.items():
        places = {address: i for i, (address, _) in enumerate(instructions)}
        for i, (address, line) in enumerate(instructions):
            jump = JUMP.match(line)
            target = int(jump[1], 16) if jump else address + 1
            if target <= address and target in places:
                loop = [one for _, one in instructions[places[target] : i + 1]]
                if not any(one.startswith("j") for one in loop[:-1]):
                    yield name, loop
