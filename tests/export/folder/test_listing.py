"""`--list`: a line for each exported model, and one on stderr for each unreadable folder."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from export.folder import listing
from tests.support.certificates import certify
from tools import tiny

Start = Callable[..., subprocess.Popen[str]]


def rows(start: Start, *arguments: object, **environment: str) -> tuple[list[dict[str, str]], str]:
    child = start("--list", *arguments, **environment)
    output, errors = child.communicate(timeout=300)
    assert child.returncode == 0
    names, *lines = [line.split("\t") for line in output.splitlines()]
    return [dict(zip(names, line, strict=True)) for line in lines], errors


def test_each_model_has_a_line(start_export: Start, tmp_path: Path) -> None:
    tiny.build(tmp_path / "b", "reranker")
    tiny.build(tmp_path / "a")
    certify(tmp_path / "a", worst_cosine=0.9999987)
    tiny.build(tmp_path / ".half.partial")
    (tmp_path / "notes").mkdir()
    [first, second], errors = rows(start_export, "--models-dir", tmp_path)
    size = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    assert errors == ""
    assert first == {
        "model": "tests/tiny",
        "revision": "-",
        "task": "embedding",
        "dimensions": "16",
        "megabytes": f"{size / 1e6:.1f}",
        "precisions": "float32: worst cosine 0.9999987",
        "folder": str(tmp_path / "a"),
    }
    assert (second["task"], second["precisions"]) == ("reranker", "float32: not proved")


def test_a_damaged_manifest_does_not_hide_the_others(start_export: Start, tmp_path: Path) -> None:
    tiny.build(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/manifest.json").write_text("{")
    [row], errors = rows(start_export, MODELS_DIR=str(tmp_path))
    assert row["folder"] == str(tmp_path / "b")
    assert errors.startswith(f"warning: {tmp_path / 'a/manifest.json'} cannot be read")
    assert errors.count("\n") == 1


def test_nothing_there_is_no_error(start_export: Start, tmp_path: Path) -> None:
    assert rows(start_export, "--models-dir", tmp_path / "none") == ([], "")
    assert listing.parse(["--list"], {}) == Path("models")
