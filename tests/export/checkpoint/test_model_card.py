"""The task of a checkpoint by its model card."""

from pathlib import Path

import pytest

from export.checkpoint import model_card


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("---\npipeline_tag: text-ranking\n---\n# A model\n", "text-ranking"),
        ("\ufeff---\r\ntags:\n- a\npipeline_tag: 'fill-mask'\n---\n", "fill-mask"),
        ("---\ntags: [a]\n---\npipeline_tag: text-ranking\n", None),  # in the text
        ("# A model\n---\npipeline_tag: text-ranking\n---\n", None),
        ("", None),
    ],
)
def test_a_card_names_the_task_in_its_head(tmp_path: Path, text: str, tag: str | None) -> None:
    (tmp_path / "README.md").write_text(text)
    assert model_card.pipeline_tag(tmp_path) == tag


def test_without_a_card_there_is_no_task(tmp_path: Path) -> None:
    assert model_card.pipeline_tag(tmp_path) is None


def test_an_unreadable_card_names_no_task(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe---\n")
    assert model_card.pipeline_tag(tmp_path) is None
