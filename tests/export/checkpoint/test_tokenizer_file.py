"""tokenizer.json as it is served."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import tokenizer_file
from export.errors import ExportError


def written(folder: Path, normalizer: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"normalizer": normalizer, "model": {"type": "WordPiece"}}))
    return path


@pytest.mark.parametrize(
    ("normalizer", "keeps"),
    [
        (None, True),
        ({"type": "Lowercase"}, False),
        ({"type": "NFC"}, True),
        ({"type": "BertNormalizer", "lowercase": True}, False),
        ({"type": "BertNormalizer", "lowercase": False}, True),
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, False),
    ],
)
def test_a_tokenizer_keeps_case_unless_it_lowers_it(
    tmp_path: Path, normalizer: Any, keeps: bool
) -> None:
    assert tokenizer_file.keeps_case(written(tmp_path, normalizer)) == keeps


def test_a_damaged_normalizer_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"type": "Sequence", "normalizers": "NFC"})
    with pytest.raises(ExportError, match="its normalizer is damaged: fetch the model again"):
        tokenizer_file.keeps_case(path)


def test_a_tokenizer_is_copied_as_it_is_or_lowers_first(tmp_path: Path) -> None:
    path, target = written(tmp_path, {"type": "NFC"}), tmp_path / "served.json"
    tokenizer_file.write(path, target, lower_case=False)
    assert target.read_bytes() == path.read_bytes()
    tokenizer_file.write(path, target, lower_case=True)
    found = json.loads(target.read_text())
    assert found["normalizer"]["normalizers"] == [{"type": "Lowercase"}, {"type": "NFC"}]
    assert found["model"] == {"type": "WordPiece"}


def test_the_files_that_a_tokenizer_is_made_of_are_found(tmp_path: Path) -> None:
    for name in ("vocab.txt", "sentencepiece.bpe.model", "config.json", "tokenizer_config.json"):
        (tmp_path / name).touch()
    assert [path.name for path in tokenizer_file.sources(tmp_path)] == [
        "tokenizer_config.json", "vocab.txt", "sentencepiece.bpe.model",
    ]  # fmt: skip
