"""int16 as it is served: by default where it is proved close, and float32 otherwise."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp

from app import prove
from app.api.http.info import info
from app.api.http.service import Service
from app.errors import StartupError
from app.inference.admission import InputOptions
from app.inference.providers.plan import ProviderRequest
from app.model.digests import file_digest
from app.model.manifest import SCHEMA, Manifest
from app.operators import library, weights
from export.folder import card
from export.precision import int16
from tests.support.loading import load_folder
from tools.asgi import post

ON_CPU = ProviderRequest("cpu", threads=1)
BY_NAME = replace(ON_CPU, dtype="int16")
TEXTS = ["the rain", "a guitar on the old stage in paris", "market", "water is at rest"]
Make = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture(autouse=True)
def operators() -> None:
    if (fault := library.fault()) is not None:
        pytest.skip(fault)


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported model that a test may change."""
    return shutil.copytree(exported, tmp_path / "model")


def embed(service: Service, texts: list[str]) -> NDArray[np.float32]:
    return asyncio.run(service.model.engine.embed(texts, InputOptions())).value


def recertify(folder: Path, **changes: Any) -> None:
    """Change the folder's certificate of int16."""
    manifest = Manifest.read(folder)
    certificates = tuple(
        replace(one, **changes) if one.compute_dtype == "int16" else one
        for one in manifest.certificates
    )
    replace(manifest, certificates=certificates).write(folder)


def test_it_is_exported_by_itself_and_proved(exported: Path) -> None:
    manifest = Manifest.read(exported)
    [graph] = [one for one in manifest.graphs if one.dtype == "int16"]
    assert (graph.file, graph.providers, graph.fingerprint) == (int16.FILE, ("cpu",), None)
    [certificate] = [one for one in manifest.certificates if one.compute_dtype == "int16"]
    assert (certificate.graph, certificate.provider) == (int16.FILE, "cpu")
    assert 0.9999 <= certificate.worst_cosine < 0.9999999
    row = f"| int16 | cpu | {certificate.worst_cosine:.7f} |"
    assert row in (exported / card.FILE_NAME).read_text()


def test_it_is_taken_by_itself_and_says_so(
    exported: Path, make_service: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service, app = make_service(model_id=str(exported), provider="cpu", threads=1)
    told = info(service.model)
    assert (told["model_dtype"], told["provider"], told["graph"]) == ("int16", "cpu", int16.FILE)
    assert (
        told["provider_reason"] == "the processor multiplies in it, and it costs this model little"
    )
    fingerprint = Manifest.read(exported).fingerprint
    headers = post(app, "/embed", {"inputs": "a"}).headers
    assert headers["x-compute-dtype"] == "int16"
    assert headers["x-model-fingerprint"] == told["fingerprint"] == fingerprint
    assert any(line.startswith("Proved on cpu in int16: worst cosine") for line in caplog.messages)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_it_is_close_to_float32_and_is_not_float32(exported: Path, make_service: Make) -> None:
    rounded, _ = make_service(model_id=str(exported), dtype="int16", threads=1)
    exact, _ = make_service(model_id=str(exported), dtype="float32", provider="cpu", threads=1)
    cosines = np.einsum("nd,nd->n", embed(rounded, TEXTS), embed(exact, TEXTS))
    assert 0.9999 < cosines.min() < 0.9999999


def test_threads_and_padding_do_not_change_what_a_text_is(
    exported: Path, make_service: Make
) -> None:
    one, _ = make_service(model_id=str(exported), dtype="int16", threads=1)
    two, _ = make_service(model_id=str(exported), dtype="int16", threads=2)
    alone = np.concatenate([embed(one, [text]) for text in TEXTS])
    np.testing.assert_array_equal(alone, np.concatenate([embed(two, [text]) for text in TEXTS]))
    # Padding changes a last digit of attention, which rounding may turn into a whole step.
    together = embed(two, TEXTS)
    assert np.einsum("nd,nd->n", alone, together).min() > 0.99999
    np.testing.assert_allclose(alone, together, atol=2e-3)


def test_where_its_certificate_falls_short_float32_is_served(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recertify(folder, neighbour_overlap=0.985)
    why = "the overlap of nearest neighbours is 0.98500, needed at least 0.99"
    model = load_folder(folder, ON_CPU)
    assert model.session.compute_dtype == "float32"
    assert model.reason == f"{why}; --dtype int16 serves it anyway"
    assert f"cpu in int16 is not used: {model.reason}" in caplog.messages
    caplog.clear()
    assert load_folder(folder, BY_NAME).session.compute_dtype == "int16"
    assert f"int16 costs this model quality: {why}" in caplog.messages


def test_where_its_certificate_is_no_proof_it_is_not_served_at_all(folder: Path) -> None:
    recertify(folder, worst_cosine=0.9998)
    assert load_folder(folder, ON_CPU).session.compute_dtype == "float32"
    with pytest.raises(StartupError, match=r"0\.9998000 on cpu in int16, needed at least 0\.9999"):
        load_folder(folder, BY_NAME)


def test_another_machine_s_certificate_is_not_trusted(folder: Path) -> None:
    recertify(folder, machine="another", worst_cosine=0.5)
    model = load_folder(folder, ON_CPU)
    assert (model.session.compute_dtype, model.proof.probes) == ("int16", 64)


def without_graph(folder: Path) -> None:
    """Turn it into a folder of an earlier version's export."""
    manifest = Manifest.read(folder)
    (folder / int16.FILE).unlink()
    replace(
        manifest,
        schema=SCHEMA,
        graphs=tuple(one for one in manifest.graphs if one.dtype != "int16"),
        certificates=tuple(one for one in manifest.certificates if one.compute_dtype != "int16"),
        files={name: known for name, known in manifest.files.items() if name != int16.FILE},
    ).write(folder)


def test_a_folder_without_the_graph_is_served_in_float32(folder: Path) -> None:
    without_graph(folder)
    model = load_folder(folder, ON_CPU)
    assert model.session.compute_dtype == "float32"
    assert model.reason == (
        "provider cpu was asked for; the exported model holds no int16 graph, which a new export "
        "makes if it can"
    )
    with pytest.raises(StartupError, match="holds no int16 graph; export it again where the oper"):
        load_folder(folder, BY_NAME)


def test_without_the_operators_float32_is_served(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "fault", lambda: "they are not built")
    model = load_folder(exported, ON_CPU)
    assert model.session.compute_dtype == "float32"
    assert model.reason == (
        "provider cpu was asked for; int16 would be faster, but they are not built"
    )
    with pytest.raises(StartupError, match="--dtype int16: they are not built; or use --dtype flo"):
        load_folder(exported, BY_NAME)


def test_operators_that_cannot_be_registered_are_passed_over(
    exported: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Failed to load library")

    monkeypatch.setattr(library, "register", fail)
    model = load_folder(exported, ON_CPU)
    assert model.session.compute_dtype == "float32"
    assert model.reason.endswith(f"{int16.FILE} cannot be loaded: Failed to load library")
    assert f"cpu in int16 is not used: {model.reason}" in caplog.messages
    with pytest.raises(StartupError, match="cannot be loaded: Failed to load library"):
        load_folder(exported, BY_NAME)
    # The proof of an export skips it.
    assert {one.compute_dtype for one in prove.prove_every(exported)} >= {"float32"}


def test_a_graph_that_cannot_be_read_is_passed_over(folder: Path) -> None:
    manifest = Manifest.read(folder)
    (folder / int16.FILE).write_bytes(b"no graph")
    digest = file_digest(folder / int16.FILE)
    replace(manifest, files={**manifest.files, int16.FILE: digest}).write(folder)
    model = load_folder(folder, ON_CPU)
    assert model.session.compute_dtype == "float32"
    assert f"{int16.FILE} cannot be loaded: " in model.reason


def test_a_graph_that_was_changed_is_refused_as_every_file_is(folder: Path) -> None:
    (folder / int16.FILE).write_bytes(b"no graph")
    with pytest.raises(StartupError, match=r"model\.int16\.onnx is not the file that was exported"):
        load_folder(folder, ON_CPU)


def test_packed_weights_do_not_stay_in_memory_as_float32(folder: Path) -> None:
    """Rows of embeddings are read again; weights of products are not."""
    loaded = load_folder(folder, BY_NAME)
    [data] = folder.glob("*.data")
    lines = weights.SMAPS.read_text().splitlines()
    mapped = [i for i, line in enumerate(lines) if line.endswith(f" {data}")]
    assert loaded is not None
    assert mapped
    found = [next(line for line in lines[i:] if line.startswith("Rss:")) for i in mapped]
    resident = sum(int(line.split()[1]) * 1024 for line in found)
    assert resident < data.stat().st_size / 2
