"""What a model card says that a checkpoint does."""

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
def test_a_card_says_it_at_its_beginning(tmp_path: Path, text: str, tag: str | None) -> None:
    (tmp_path / "README.md").write_text(text)
    assert model_card.pipeline_tag(tmp_path) == tag


def test_without_a_card_nobody_says_it(tmp_path: Path) -> None:
    assert model_card.pipeline_tag(tmp_path) is None


def test_a_card_that_is_no_text_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe---\n")
    assert model_card.pipeline_tag(tmp_path) is None
