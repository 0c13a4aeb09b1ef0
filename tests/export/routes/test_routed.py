"""Models that embed queries and documents in different ways, and static ones, against the library.

Served vectors must equal those of sentence-transformers' own calls: `encode_query`,
`encode_document` and `encode`.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app import prove
from app.api.http.info import info
from app.application import build, create_app
from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.model.manifest import PROBES_FILE, Manifest
from app.model.quantization import ranges_of
from app.options.settings import Settings
from app.proof.output_types import with_length
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from tests.support import hub
from tests.support.routers import TEXTS, Models, library_s, served
from tests.support.tiny_checkpoints import write_json
from tools.asgi import make_scope, send_request
from tools.client import Reply
from tools.tiny import seal


def dense(entries: Any, width: int) -> NDArray[np.float32]:
    """Return the answer of `/embed_sparse` as (N, V)."""
    vectors = np.zeros((len(entries), width), np.float32)
    for vector, row in zip(vectors, entries, strict=True):
        for entry in row:
            vector[entry["index"]] = entry["value"]
    return vectors


def test_inference_free_splade_is_served_as_sparse_encoder_has_it(models: Models) -> None:
    checkpoint, folder = models("sparse-static")
    expected: dict[str | None, NDArray[np.float32]] = {
        "query": library_s(checkpoint, "encode_query"),
        "document": library_s(checkpoint, "encode_document"),
        None: library_s(checkpoint, "encode"),
    }
    assert not np.allclose(expected["query"], expected["document"], atol=0.1)
    same: dict[str | None, str] = {
        "search_query": "query",
        "search_document": "document",
        "passage": "document",
    }
    with served(folder) as ask:
        for name in (*expected, *same):
            answer = ask("/embed_sparse", inputs=TEXTS, prompt_name=name).json
            found = dense(answer, expected["query"].shape[1])
            np.testing.assert_allclose(found, expected[same.get(name, name)], rtol=0, atol=1e-4)
        reply = ask("/embed_sparse", inputs=TEXTS, prompt_name="title")
        assert (reply.status, reply.json["error_type"]) == (422, "Validation")
        reply = ask("/tokenize", inputs="ok", prompt_name="query")
        assert not any(token["special"] for [*tokens] in reply.json for token in tokens)


@pytest.mark.parametrize("name", ["dense-static", pytest.param("dense", marks=pytest.mark.slow)])
def test_dense_routes_are_served_as_sentence_transformers_has_them(
    models: Models, name: str
) -> None:
    checkpoint, folder = models(name)
    queries = unit(library_s(checkpoint, "encode_query"))
    documents = unit(library_s(checkpoint, "encode_document"))
    assert (queries * documents).sum(axis=1).max() < 0.9
    with served(folder) as ask:
        for path, field, side, vectors in (
            ("/embed", "prompt_name", "query", queries),
            ("/embed", "prompt_name", "document", documents),
            ("/embed", "prompt_name", None, documents),
            ("/v1/embeddings", "input_type", "query", queries),
            ("/v1/embeddings", "input_type", "search_query", queries),
            ("/v1/embeddings", "input_type", "search_document", documents),
            ("/v1/embeddings", "prompt_name", "query", queries),
            ("/v1/embeddings", "input_type", "unheard of", documents),
            ("/v1/embeddings", "model", "any-query", queries),
            ("/v1/embeddings", "model", "any-passage", documents),
        ):
            texts = {"inputs" if path == "/embed" else "input": TEXTS}
            answer = ask(path, **texts, **{field: side}).json
            rows = answer if path == "/embed" else [row["embedding"] for row in answer["data"]]
            np.testing.assert_allclose(rows, vectors, rtol=0, atol=1e-5, err_msg=f"{path} {side}")
        refusal = ask("/embed_all", inputs="ok")
        assert refusal.status == 424
        assert "different ways" in refusal.json["error"]
        refusal = ask("/embed", inputs="ok", spans=[[0, 2]], prompt_name="query")
        assert refusal.status == 424
        assert "different ways" in refusal.json["error"]


def test_a_long_text_has_windows_of_its_route_s_length(models: Models) -> None:
    folder = models("dense-static")[1]
    words = ["capital", "of", "guitar", "and", "stage"] * 30
    lengths = {one.name: one.max_input_length for one in Manifest.read(folder).routes}
    with served(folder) as ask:
        for name, length in lengths.items():
            whole = ask("/tokenize", inputs="of", prompt_name=name).json[0]
            room = length - len([token for token in whole if token["special"]])
            parts = [words[at : at + room] for at in range(0, len(words), room)]
            vectors = ask("/embed", inputs=[" ".join(part) for part in parts], prompt_name=name)
            mean = np.average(vectors.json, axis=0, weights=[len(part) for part in parts])
            body = {"inputs": " ".join(words), "overflow": "mean", "prompt_name": name}
            found = ask("/embed", **body).json[0]
            np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_vectors_of_both_sides_have_the_same_ranges(models: Models) -> None:
    """They are compared with each other, so their steps have to be the same."""
    folder = models("dense-static")[1]
    manifest, probes = Manifest.read(folder), Probes.read(folder / PROBES_FILE)
    asked = {name for route in manifest.routes for name in route.asked_as}
    assert asked <= set(probes.names)
    assert manifest.ranges == ranges_of(probes.vectors[with_length(probes.vectors)])


@pytest.mark.slow
def test_asym_of_an_earlier_version_takes_its_first_route_by_default(
    models: Models, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(models("dense-static")[0], tmp_path / "asym")
    router = json.loads((checkpoint / "router_config.json").read_text())
    (checkpoint / "router_config.json").unlink()
    router["structure"] = {
        "QRY": router["structure"]["query"],
        "DOC": router["structure"]["document"],
    }
    write_json(checkpoint / "config.json", router | {"parameters": {"allow_empty_key": True}})
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Asym"}]
    write_json(checkpoint / "modules.json", modules)
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    sides: dict[str | None, NDArray[np.float32]] = {
        "QRY": unit(library_s(checkpoint, "encode", task="QRY")),
        "DOC": unit(library_s(checkpoint, "encode", task="DOC")),
        None: unit(library_s(checkpoint, "encode")),
    }
    np.testing.assert_array_equal(sides[None], sides["QRY"])
    with served(folder) as ask:
        for side, vectors in sides.items():
            answer = ask("/embed", inputs=TEXTS, prompt_name=side).json
            np.testing.assert_allclose(answer, vectors, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": {"title": "title: "}, "default_prompt_name": "title"},
        {"prompts": {"query": "find: ", "passage": "text: "}, "default_prompt_name": "query"},
    ],
)
def test_the_prompts_of_a_checkpoint_go_before_either_side(
    models: Models, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """The default one only where no side is asked for, as in the library."""
    checkpoint = shutil.copytree(models("dense-static")[0], tmp_path / "prompted")
    settings = {"model_type": "SentenceTransformer"} | settings
    write_json(checkpoint / "config_sentence_transformers.json", settings)
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    calls = {"query": "encode_query", "document": "encode_document", None: "encode"}
    with served(folder) as ask:
        for side, call in calls.items():
            answer = ask("/embed", inputs=TEXTS, prompt_name=side).json
            expected = unit(library_s(checkpoint, call))
            np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5, err_msg=call)


def test_requests_for_either_side_may_come_at_the_same_time(models: Models) -> None:
    checkpoint, folder = models("dense-static")
    sides = {side: unit(library_s(checkpoint, f"encode_{side}")) for side in ("query", "document")}
    asked = [side for _ in range(12) for side in sides]
    settings = Settings(model_id=str(folder), provider="cpu", dtype="float32")
    service = build(settings, folder)
    application = create_app(service, settings)

    async def ask_all() -> list[Reply]:
        scope = make_scope("POST", "/embed", {"content-type": "application/json"})
        bodies = [json.dumps({"inputs": TEXTS, "prompt_name": side}).encode() for side in asked]
        return await asyncio.gather(
            *(send_request(application, dict(scope), [body]) for body in bodies)
        )

    answers = asyncio.run(ask_all())
    asyncio.run(service.model.close())
    for side, reply in zip(asked, answers, strict=True):
        np.testing.assert_allclose(reply.json, sides[side], rtol=0, atol=1e-5)


def test_the_operator_may_choose_the_side_of_requests_that_do_not(models: Models) -> None:
    checkpoint, folder = models("dense-static")
    with served(folder, default_prompt_name="query") as ask:
        unasked, document = (
            ask("/embed", inputs=TEXTS, prompt_name=name).json for name in (None, "document")
        )
    queries = unit(library_s(checkpoint, "encode_query"))
    np.testing.assert_allclose(unasked, queries, rtol=0, atol=1e-5)
    documents = unit(library_s(checkpoint, "encode_document"))
    np.testing.assert_allclose(document, documents, rtol=0, atol=1e-5)


def test_info_says_how_to_choose(models: Models) -> None:
    _, folder = models("sparse-static")
    settings = Settings(model_id=str(folder), provider="cpu", dtype="float32")
    service = build(settings, folder)
    asyncio.run(service.model.close())
    assert info(service.model)["routes"] == {
        "query": {"prompt_names": ("query",), "max_input_length": 48},
        "document": {"prompt_names": ("document",), "max_input_length": 48},
    }
    assert info(service.model)["default_route"] == "document"
    assert "prompt names `query`" in (folder / "README.md").read_text()


@pytest.mark.parametrize("fault", ["sides", "special tokens", "length"])
def test_the_proof_fails_where_serving_takes_another_way(
    models: Models, tmp_path: Path, fault: str
) -> None:
    _, folder = models("sparse-static")
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest = Manifest.read(copy)
    query, document = manifest.routes
    wrong = {
        "sides": (
            replace(query, asked_as=document.asked_as),
            replace(document, asked_as=query.asked_as),
        ),
        "special tokens": (replace(query, special_tokens=True), document),
        "length": (replace(query, max_input_length=47), document),
    }
    seal(copy, replace(manifest, routes=wrong[fault]))
    with pytest.raises(StartupError, match="is tokenized as"):
        prove.prove(copy, ProviderRequest("cpu", "float32"))
    if fault == "sides":
        with pytest.raises(StartupError, match="does not give its original's answers"):
            build(Settings(model_id=str(copy), provider="cpu", dtype="float32"), copy)


@pytest.mark.slow
def test_an_encoder_may_lie_in_the_folder_of_the_whole(models: Models, tmp_path: Path) -> None:
    """As in OpenSearch's models, whose document encoder is also a model for other libraries."""
    source, folder = models("sparse-static")
    checkpoint = shutil.copytree(source, tmp_path / "rooted")
    encoder = checkpoint / "document_0_MLMTransformer"
    for path in encoder.iterdir():
        path.rename(checkpoint / path.name)
    router = (checkpoint / "router_config.json").read_text()
    (checkpoint / "router_config.json").write_text(router.replace(encoder.name, ""))
    exported = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    assert Manifest.read(exported).fingerprint == Manifest.read(folder).fingerprint
    expected = library_s(checkpoint, "encode_document")
    with served(exported) as ask:
        answer = ask("/embed_sparse", inputs=TEXTS, prompt_name="document").json
    np.testing.assert_allclose(dense(answer, expected.shape[1]), expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_model_of_the_hub_is_fetched_with_every_route(
    models: Models, tmp_path: Path, start_export: Callable[..., subprocess.Popen[str]]
) -> None:
    checkpoint, folder = models("sparse-static")
    with hub.serve({"some/router": checkpoint}) as server:
        online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path)}
        process = start_export("some/router", "--models-dir", tmp_path / "models", **online)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    exported = Manifest.read(tmp_path / "models" / "some--router")
    assert exported.fingerprint == Manifest.read(folder).fingerprint


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
