"""Output types: an export records how large components become, and the cost of fewer bytes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import StartupError
from app.model.manifest import FILE_NAME, PROBES_FILE, Manifest
from app.model.names import Task
from app.model.quantization import ranges_of
from app.proof.probes import Probes
from export import pipeline, probe_texts
from export.from_onnx.preparation import Preparation
from export.output_types import measured
from tests.support.snapshot import write_folder
from tools import tiny
from tools.asgi import request


def test_ranges_are_of_the_probes_that_every_export_has(exported: Path) -> None:
    probes = Probes.read(exported / PROBES_FILE)
    few = set(probe_texts.texts(32))
    places = [place for place, text in enumerate(probes.texts) if text in few]
    assert 90 < len(places) < len(probes) - 400
    assert Manifest.read(exported).ranges == ranges_of(probes.vectors[places])


def test_costs_are_measured_over_the_prose_and_reported(
    exported: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    found = Manifest.read(exported).output_types
    prose = len(set(Probes.read(exported / PROBES_FILE).texts) - set(probe_texts.texts(32)))
    assert [one.dtype for one in found] == ["float16", "int8", "binary"]
    assert {one.texts for one in found} == {prose}
    told = request(make_service(model_id=str(exported))[1], "GET", "/info").json["output_types"]
    table = (exported / "README.md").read_text()
    for one in found:
        assert told[one.dtype] == {
            "neighbour_overlap": one.neighbour_overlap,
            "rank_correlation": one.rank_correlation,
            "texts": prose,
        }
        assert f"| {one.neighbour_overlap:.4f} | {one.rank_correlation:.5f} | {prose} |" in table


def test_info_has_no_output_types_for_another_pooling(
    exported: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    for pooling, told in (("mean", True), ("cls", False)):
        app = make_service(model_id=str(exported), pooling=pooling)[1]
        assert ("output_types" in request(app, "GET", "/info").json) == told


def test_a_graph_as_it_was_found_has_ranges_without_prose(tmp_path: Path) -> None:
    wanted = Preparation(write_folder(tmp_path / "small"), tmp_path / "models", "small", "small")
    manifest = Manifest.read(folder := pipeline.prepare(wanted))
    probes = Probes.read(folder / PROBES_FILE)
    assert manifest.ranges == ranges_of(probes.vectors)
    assert {one.texts for one in manifest.output_types} == {len(probes)}


@pytest.mark.parametrize("task", ["splade", "classifier", "reranker", "multi_vector"])
def test_only_dense_vectors_of_texts_have_output_types(task: Task, tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, task)
    assert measured(manifest, tmp_path) == manifest


def test_vectors_beside_those_of_tokens_have_output_types(tmp_path: Path) -> None:
    manifest = measured(tiny.build(tmp_path, whole=True), tmp_path)
    assert [one.texts for one in manifest.output_types] == [len(tiny.PROBE_TEXTS)] * 3


def test_vectors_without_a_direction_are_left_out(tmp_path: Path) -> None:
    plain = replace(tiny.build(tmp_path), ranges=None)
    probes = Probes.read(tmp_path / PROBES_FILE)
    probes.vectors[[0, 3]] = 0
    probes.write(tmp_path / PROBES_FILE)
    found = measured(plain, tmp_path)
    assert found.ranges == ranges_of(np.delete(probes.vectors, [0, 3], axis=0))
    assert {one.texts for one in found.output_types} == {len(tiny.PROBE_TEXTS) - 2}
    probes.vectors[:] = 0
    probes.write(tmp_path / PROBES_FILE)
    assert measured(plain, tmp_path) == plain


def test_a_server_refuses_a_folder_whose_samples_come_out_otherwise(
    tmp_path: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    measured(tiny.build(tmp_path), tmp_path).write(tmp_path)
    make_service(model_id=str(tmp_path))
    document = json.loads((tmp_path / FILE_NAME).read_text())
    del document["digest"]
    document["ranges"]["largest"] = [1.0] * len(document["ranges"]["largest"])
    (tmp_path / FILE_NAME).write_text(json.dumps(document))
    with pytest.raises(StartupError, match="a vector in int8 does not come out as it did when"):
        make_service(model_id=str(tmp_path))
