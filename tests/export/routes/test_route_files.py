"""Sides: the files of each route, and routes that do not fit into one model."""

import json
import shutil
from pathlib import Path

import pytest

from export.checkpoint import routers
from export.errors import ExportError
from export.routes import route_files
from export.routes.route_files import Side
from tools.models.tiny_routers import ROUTERS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Queries by a table of tokens, documents by an encoder."""
    return ROUTERS["dense-static"](tmp_path_factory.mktemp("sides") / "model")


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return shutil.copytree(source, tmp_path / "model")


def read(folder: Path, scratch: Path) -> list[Side]:
    router = routers.read(folder)
    assert router is not None
    scratch.mkdir()
    return route_files.read(router, folder, scratch)


def test_each_route_is_a_checkpoint_of_its_own(folder: Path, tmp_path: Path) -> None:
    query, document = read(folder, tmp_path / "scratch")
    assert (query.way.name, document.way.name) == ("query", "document")
    assert query.static is not None
    assert document.static is None
    assert (query.checkpoint.encoder_width, query.checkpoint.dimensions) == (24, 32)
    assert (document.checkpoint.architecture, document.checkpoint.dimensions) == ("BertModel", 32)


def test_routes_of_different_widths_are_refused(folder: Path, tmp_path: Path) -> None:
    [path] = folder.glob("*_Dense/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"out_features": 16}))
    with pytest.raises(
        ExportError, match=r"^the routes query and document have different numbers of dimensions: "
    ):
        read(folder, tmp_path / "scratch")
