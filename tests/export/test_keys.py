"""Keys: the effect of every key of a checkpoint's files, tried and documented."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from export.checkpoint import read
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from tests.support import keys
from tests.support.keys import ROWS, Honoured, Refused, Row
from tools.process import ROOT

DOCUMENT = ROOT / "docs" / "checkpoint-files.md"
VERDICTS = {Honoured: "honoured", Refused: "refused", keys.Nothing: "changes nothing"}


def facts(found: Checkpoint) -> str:
    """Return everything that was read, wherever the folder is."""
    return repr(found).replace(str(found.folder), "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.file}-{row.key}")
def test_a_key_is_honoured_refused_or_changes_nothing(row: Row, tmp_path: Path) -> None:
    plain = read.read(keys.write(tmp_path / "plain", kind=row.kind))
    changed = keys.write(tmp_path / "changed", row)
    match row.outcome:
        case Honoured(fact, expected):
            assert fact(read.read(changed)) == expected
            assert fact(plain) != expected
        case Refused(words):
            with pytest.raises(ExportError, match=re.escape(words)):
                read.read(changed)
        case _:
            assert facts(read.read(changed)) == facts(plain)


def test_keys_without_effect_have_none_in_the_library(bert: Path, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row.outcome is keys.NOTHING and row.kind == "embedding"]
    changed = shutil.copytree(bert, tmp_path / "changed")
    for row in rows:
        path = changed / row.file
        content = json.loads(path.read_text())
        for one in content if row.file == keys.MODULES else [content]:
            # Number, name and inputs differ for each module.
            one[row.key] = f"{one[row.key]}x" if row.key == "name" else row.value
        path.write_text(json.dumps(content))
    texts = ["rain", "music in the old city of paris " * 4]
    plain, other = (
        SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=1)
        for folder in (bert, changed)
    )
    np.testing.assert_array_equal(plain, other)


def documented() -> Iterator[tuple[str, str, str]]:
    """Return the file, the key and the verdict of each row; a row may have several keys."""
    verdicts = "|".join(VERDICTS.values())
    for section in DOCUMENT.read_text().split("\n## ")[1:]:
        file = section.partition("\n")[0].strip("`")
        for cell, verdict in re.findall(rf"^\| (.+?) \| ({verdicts})\b", section, re.MULTILINE):
            for key in re.findall(r"`([^`]+)`", cell):
                yield file, key, verdict


def test_the_document_says_what_becomes_of_each_key() -> None:
    assert sorted(documented()) == sorted(
        (row.file, row.key, VERDICTS[type(row.outcome)]) for row in ROWS
    )
