"""Parts of a manifest: the ranges for int8, and ranges that no model can have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.model.manifest import FILE_NAME, Manifest, ManifestError
from app.model.parts import Ranges
from tools import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.build(tmp_path)
    return tmp_path


def declare(folder: Path, ranges: dict[str, Any]) -> None:
    """Give the model 8 dimensions and these ranges."""
    path = folder / FILE_NAME
    document = json.loads(path.read_text()) | {"dimensions": 8, "ranges": ranges}
    del document["digest"]
    path.write_text(json.dumps(document))


RANGES = {"sizes": [1, 2, 4, 8], "largest": [1.0, 0.9, 0.8, 0.7]}


def test_ranges_are_read_with_the_sizes_that_they_are_for(folder: Path) -> None:
    declare(folder, RANGES)
    assert Manifest.read(folder).ranges == Ranges((1, 2, 4, 8), (1.0, 0.9, 0.8, 0.7))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"sizes": [1, 2, 4]}, "ranges.sizes: [1, 2, 4] do not ascend from 1 to 8"),
        ({"sizes": [2, 4, 5, 8]}, "ranges.sizes: [2, 4, 5, 8] do not ascend"),
        ({"sizes": [1, 4, 4, 8]}, "ranges.sizes: [1, 4, 4, 8] do not ascend"),
        ({"sizes": []}, "ranges.sizes: [] do not ascend"),
        ({"largest": [1.0]}, "ranges.largest: 1 values for 4 sizes"),
        ({"largest": [1, 0.9, 0.8, 0.3]}, "ranges.largest: 0.3 is not that of a unit vector of 8"),
        ({"largest": [1.1, 0.9, 0.8, 0.7]}, "ranges.largest: 1.1 is not that of"),
        ({"largest": [1, 0, 0.8, 0.7]}, "ranges.largest: 0.0 is not that of"),
        ({"largest": [1, float("nan"), 0.8, 0.7]}, "ranges.largest: nan is not that of"),
        ({"largest": None}, "ranges.largest: None is not of type tuple"),
    ],
)
def test_ranges_that_no_model_has_are_refused(
    folder: Path, changes: dict[str, Any], fault: str
) -> None:
    declare(folder, RANGES | changes)
    with pytest.raises(ManifestError, match=re.escape(fault)):
        Manifest.read(folder)
