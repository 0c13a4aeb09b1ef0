"""Source: a folder, a Hub cache folder, the installed default model, or else the Hub."""

from pathlib import Path

import pytest

from app.model.lookup import hub_cache
from export.errors import ExportError
from export.source import locate


def test_folder_goes_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    assert locate.locate(str(folder), None) == locate.Located(folder, "some-model", None)


def test_folder_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"--revision v2: .* is a folder, which has no revisions"):
        locate.locate(str(tmp_path), "v2")


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "../nowhere", "a/b/c"])
def test_missing_folder_is_not_looked_up_on_the_hub(name: str) -> None:
    with pytest.raises(ExportError, match="is not a folder: give the folder that holds config"):
        locate.locate(name, None)


def test_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with pytest.raises(ExportError, match="is not a folder"):
        locate.locate(str(tmp_path / "model"), None)


def test_exported_folder_is_not_exported_again(exported: Path) -> None:
    with pytest.raises(ExportError, match="is an exported model already: serve it as it is"):
        locate.locate(str(exported), None)


@pytest.mark.parametrize(("revision", "commit"), [(None, "abc"), ("v2", "def"), ("def", "def")])
def test_hub_cache_folder_gives_the_snapshot_of_a_revision(
    tmp_path: Path, revision: str | None, commit: str
) -> None:
    folder = tmp_path / "models--org--name"
    for name in ("abc", "def"):
        (folder / "snapshots" / name).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    (folder / "refs/v2").write_text("def")
    located = locate.locate(str(folder), revision)
    assert (located.folder, located.revision) == (folder / "snapshots" / commit, commit)


def test_hub_cache_folder_cannot_lead_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--name"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "refs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "refs/main").write_text("../../elsewhere")
    with pytest.raises(ExportError, match="holds no snapshot of revision 'main'"):
        locate.locate(str(folder), None)
    assert hub_cache.candidates("org/name", None, [tmp_path]) == []


def test_hub_cache_folder_without_the_revision(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(ExportError, match="holds no snapshot of revision 'main'"):
        locate.locate(str(tmp_path), None)
