"""The configuration of sentence-transformers' LogitScore."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import read
from export.errors import ExportError
from tests.support.tiny_checkpoints import write_json


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"true_token_id": None}, "has no `true_token_id`"),
        ({"false_token_id": 5, "true_token_id": 5}, "are not two tokens"),
        ({"module_input_name": "scores"}, "module_input_name 'scores' is not supported"),
    ],
)
def test_a_damaged_logit_score_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    path = folder / "1_LogitScore/config.json"
    write_json(path, json.loads(path.read_text()) | change)
    with pytest.raises(ExportError, match=message):
        read.read(folder)
