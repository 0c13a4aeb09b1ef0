"""Models without a default route: every request has to choose one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.probes import Probes
from tests.support.routers import TEXTS, Models, served
from tools.tiny import seal


def without_default(folder: Path, copy: Path) -> Path:
    """A copy of a model without its default route."""
    shutil.copytree(folder, copy)
    seal(copy, replace(Manifest.read(copy), default_route=None))
    probes = Probes.read(copy / PROBES_FILE)
    named = [place for place, name in enumerate(probes.names) if name]
    probes.at(named).write(copy / PROBES_FILE)
    seal(copy, Manifest.read(copy))
    return copy


@pytest.mark.slow
def test_without_a_default_route_a_request_has_to_choose(models: Models, tmp_path: Path) -> None:
    _, folder = models("sparse-static")
    with served(without_default(folder, tmp_path / "copy")) as ask:
        reply = ask("/embed_sparse", inputs="ok")
        assert reply.status == 422
        assert 'set `prompt_name` to one of ["query", "document"]' in reply.json["error"]
        assert ask("/embed_sparse", inputs="ok", prompt_name="query").status == 200


@pytest.mark.slow
def test_cohere_s_input_types_choose_the_side(models: Models, tmp_path: Path) -> None:
    _, folder = models("dense-static")
    with served(without_default(folder, tmp_path / "copy")) as ask:
        for input_type, side in (("search_query", "query"), ("search_document", "document")):
            found = ask("/v2/embed", texts=TEXTS, input_type=input_type).json
            expected = ask("/embed", inputs=TEXTS, prompt_name=side).json
            assert found["embeddings"]["float"] == expected
        for unclear in ("clustering", None):
            refusal = ask("/v2/embed", texts=TEXTS, input_type=unclear)
            assert refusal.status == 422
            assert "set `input_type` to `search_query` or `search_doc" in refusal.json["message"]
