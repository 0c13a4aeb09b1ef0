"""Chats: the template of a pair, and templates that cannot be described."""

import json
import shutil
from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder

from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.errors import ExportError
from export.reference import chats
from tests.support.rerankers import LENGTH
from tests.support.tiny_checkpoints import write_json

ROLE = "{{{{ messages | selectattr('role', 'eq', '{}') | map(attribute='content') | first{} }}}}"
TWICE = ROLE.format("query", "") + ROLE.format("document", "") + ROLE.format("document", "")
UPPER = "Q: " + ROLE.format("query", " | upper") + " D: " + ROLE.format("document", "")
LONG = "word " * LENGTH + ROLE.format("query", "") + " " + ROLE.format("document", "")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (TWICE, "more with a query and a document than to put words around each"),
        (UPPER, "more with a query and a document than to put words around each"),
        (LONG, f"tokens of the {LENGTH} that it reads"),
    ],
)
def test_a_template_that_cannot_be_described_is_refused(
    own: Path, template: str, message: str
) -> None:
    model = CrossEncoder(str(own), device="cpu", processor_kwargs={"chat_template": template})
    model[0].processor.chat_template = template
    with pytest.raises(ExportError, match=message) as refusal:
        chats.ask(model, read.read(own))
    assert "\n" not in str(refusal.value)


def test_a_template_that_carries_no_pair_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    (folder / "chat_template.jinja").write_text("{{ messages[-1].role }}")
    with pytest.raises(ExportError, match=r"is a reranker .* cannot carry a 'query'/'document'"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))


def test_a_tokenizer_without_the_answers_is_refused(own: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(own, tmp_path / "own")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["yep"] = content["model"]["vocab"].pop("yes")
    merges = [one for one in content["model"]["merges"] if "".join(one) != "yes"]
    write_json(path, content | {"model": content["model"] | {"merges": merges}})
    with pytest.raises(ExportError, match="has no tokens `yes` and `no` for the model to answer"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
