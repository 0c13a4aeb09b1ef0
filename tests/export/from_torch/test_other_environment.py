"""Other environment: which steps of an export it does, and what it is told."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from export.checkpoint import read as checkpoints
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.from_torch import other_environment

PROGRAM = """#!{python}
import sys
print(*sys.argv[1:])
sys.exit("error: it cannot" if "--fail" in sys.argv else 0)
"""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose Python prints its arguments."""
    program = tmp_path / "python"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(other_environment, "PYTHON", program)


def of_tomorrow(folder: Path) -> Checkpoint:
    return replace(checkpoints.read(folder), model_type="bert-of-tomorrow")


@pytest.mark.usefixtures("there")
def test_it_is_needed_for_what_is_not_implemented_here(bert: Path) -> None:
    assert not other_environment.is_needed(checkpoints.read(bert), trust_code=False)
    unknown = of_tomorrow(bert)
    assert other_environment.is_needed(unknown, trust_code=True)
    with_code = replace(unknown, brings_code=True)
    assert not other_environment.is_needed(with_code, trust_code=True)
    assert other_environment.is_needed(with_code, trust_code=False)


def test_where_it_is_not_there_the_command_that_makes_it_is_named(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_environment, "PYTHON", tmp_path / "nothing")
    with pytest.raises(ExportError, match=r"run `make setup-transformers5` for a newer one"):
        other_environment.is_needed(of_tomorrow(bert), trust_code=False)


@pytest.mark.usefixtures("there")
def test_it_gets_the_pooling_and_its_lines_are_repeated(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other_environment.run(["--step"], checkpoints.read(bert))
    other_environment.run(["--step"], checkpoints.read(bert, "last_token"))
    assert capfd.readouterr().out == "-m export --step\n-m export --step --pooling last-token\n"
    with pytest.raises(ExportError, match=r"^it cannot$"):
        other_environment.run(["--fail"], checkpoints.read(bert))
