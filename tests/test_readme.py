"""The READMEs: short, equal line by line, and with commands that a test runs."""

import re

import pytest

from tests.support.readme import commands
from tools.process import ROOT

READMES = ["README.md", "README.zh-CN.md"]
MOST_LINES = 120

_SLOW = "slow/test_readme_commands.py"
# Each command of the READMEs, with the test that runs it, or the same through podman; `make test`
# runs the tests.
RUN_BY = {
    "make run": (_SLOW, "test_the_quickstart"),
    "curl": (_SLOW, "test_the_quickstart"),
    "make run MODEL_ID=": (_SLOW, "test_another_model"),
    "make export MODEL_ID=": (_SLOW, "test_another_model"),
    "make serve MODEL_ID=": (_SLOW, "test_another_model"),
    "docker build -t embedding-service:cpu .": ("container/conftest.py", "image"),
    "docker build -t embedding-service:gpu --target gpu .": (
        "container/test_readme_commands.py",
        "test_the_gpu_image",
    ),
    "docker build -t embedding-service:bge --build-arg MODEL_ID=": (
        "container/test_readme_commands.py",
        "test_another_model_inside",
    ),
    "docker run -p 8000:8000 embedding-service:cpu": (
        "container/test_readme_commands.py",
        "test_the_cpu_image",
    ),
    "docker run --gpus all -p 8000:8000 embedding-service:gpu": (
        "container/test_readme_commands.py",
        "test_the_gpu_image",
    ),
    "docker run -p 8080:8080 -v ~/.cache/huggingface:/data embedding-service:cpu --model-id": (
        "container/test_readme_commands.py",
        "test_a_mounted_cache",
    ),
}


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


@pytest.mark.parametrize("name", READMES)
def test_it_is_short(name: str) -> None:
    assert len(lines(name)) <= MOST_LINES


def test_every_line_has_its_twin() -> None:
    """Translations have the same headings, rows and links in the same places, and the same code."""
    english, chinese = (lines(name) for name in READMES)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english[4:], chinese[4:], strict=True):  # each names the other above
        assert skeleton(ours) == skeleton(theirs), theirs


def skeleton(line: str) -> object:
    """Return what a line keeps in translation."""
    mark = re.match(r"#+ |- |```|\|", line)
    code = sorted(re.findall(r"`[^`]+`", line))
    links = sorted(re.findall(r"\]\(([^)]+)\)|<(http[^>]+)>", line))
    return (mark and mark[0], bool(line), line.count("|"), code, links)


def test_their_commands_are_the_same() -> None:
    assert commands(READMES[0]) == commands(READMES[1])


def test_every_command_is_run_by_a_test() -> None:
    for command in commands():
        found = [one for one in RUN_BY if command.startswith(one)]
        assert found, command
        file, function = RUN_BY[max(found, key=len)]
        assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text()
    unused = [one for one in RUN_BY if not any(line.startswith(one) for line in commands())]
    assert not unused


def test_every_test_that_shows_a_promise_exists() -> None:
    promises = (ROOT / "docs/reliability.md").read_text().partition("## Overload")[0]
    named = re.findall(r"`(\S+\.py)(?: -k (?:\"([^\"]+)\"|(\w+)))?`", promises)
    assert len(named) > 50
    for file, words, word in named:
        tests = re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text(), re.MULTILINE)
        for part in (words or word or "test_").split(" or "):
            assert any(part in test for test in tests), (file, part)
