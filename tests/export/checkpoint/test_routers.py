"""Routers: the modules that a text takes, resolved as by sentence-transformers' Router."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import routers
from export.checkpoint.routers import Module, Way
from export.errors import ExportError
from export.routes import static_models

ST = "sentence_transformers.models."
NAMES = ("query", "document", "other", "text", None)


def write(
    folder: Path,
    routes: Mapping[str, list[str]],
    parameters: Mapping[str, Any],
    *,
    kind: str = "Router",
    behind: tuple[str, ...] = (),
) -> Path:
    """Write a router whose routes are modules of these classes, without their weights."""
    modules = [{"type": ST + kind, "path": ""}]
    modules += [{"type": ST + one, "path": f"1_{one}"} for one in behind]
    (folder / "modules.json").write_text(json.dumps(modules))
    ids = {
        name: [f"{name}_{i}_{one}" for i, one in enumerate(kinds)] for name, kinds in routes.items()
    }
    types = {one: ST + one.rpartition("_")[2] for every in ids.values() for one in every}
    config = {"types": types, "structure": ids, "parameters": dict(parameters)}
    name = "router_config.json" if kind == "Router" else "config.json"
    (folder / name).write_text(json.dumps(config))
    return folder


TWO = {"query": ["StaticEmbedding"], "document": ["Transformer", "Pooling"]}


def test_a_router_is_read_with_what_stands_behind_it(tmp_path: Path) -> None:
    found = routers.read(write(tmp_path, TWO, {"default_route": "document"}, behind=("Normalize",)))
    normalize = Module(f"{ST}Normalize", "1_Normalize")
    assert found is not None
    assert found.ways == (
        Way(
            "query",
            ("query",),
            (Module(f"{ST}StaticEmbedding", "query_0_StaticEmbedding"), normalize),
        ),
        Way(
            "document",
            ("document",),
            (
                Module(f"{ST}Transformer", "document_0_Transformer"),
                Module(f"{ST}Pooling", "document_1_Pooling"),
                normalize,
            ),
        ),
    )
    assert found.default == "document"
    assert found.primary.name == "document"
    assert [way.is_static for way in found.ways] == [True, False]


@pytest.mark.parametrize(
    ("names", "parameters"),
    [
        (("query", "document"), {"default_route": "document"}),
        (("query", "document"), {"default_route": None}),
        (("query", "document"), {"default_route": None, "allow_empty_key": False}),
        (("query", "document"), {}),
        (("QRY", "DOC"), {"allow_empty_key": False}),
        (("document", "text"), {}),
        (("a", "b"), {"route_mappings": {"('query', 'text')": "a", "('document', None)": "b"}}),
        (("a", "b"), {"route_mappings": {"(None, 'text')": "b"}, "default_route": "a"}),
        (("a", "b"), {"route_mappings": {"(None, None)": "b", "('other', None)": "a"}}),
        (("a", "b"), {"route_mappings": {"('query', 'image')": "a"}, "allow_empty_key": False}),
        (("a", "b"), {"route_mappings": {"('query', ('image', 'text'))": "a"}}),
    ],
)
def test_texts_take_the_route_that_the_library_gives_them(
    tmp_path: Path, names: tuple[str, ...], parameters: dict[str, Any]
) -> None:
    import ast

    from sentence_transformers.sentence_transformer import modules
    from torch import nn

    library: Any = modules
    routes = {name: ["StaticEmbedding"] for name in names}
    stored = {"allow_empty_key": True, "default_route": None, "route_mappings": {}} | parameters
    given = {
        **stored,
        "route_mappings": {
            ast.literal_eval(key): route for key, route in stored["route_mappings"].items()
        },
    }
    router = library.Router({name: [nn.Identity()] for name in names}, **given)
    found = routers.read(write(tmp_path, routes, parameters))
    assert found is not None
    for task in (*NAMES, *names):
        try:
            expected = router._resolve_route(task, "text")  # noqa: SLF001  # the library has no other word
        except ValueError:
            expected = None
        if task is None:
            assert found.default == expected
        else:
            ours = [way.name for way in found.ways if task in way.asked_as]
            assert ours == [expected] or (not ours and expected in {None, found.default}), task
            assert ours or task not in {"query", "document", *names} or expected is None, task


def test_an_earlier_version_called_it_asym(tmp_path: Path) -> None:
    found = routers.read(write(tmp_path, TWO, {"allow_empty_key": True}, kind="Asym"))
    assert found is not None
    assert [way.name for way in found.ways] == ["query", "document"]
    assert found.default == "query"


def test_a_table_of_tokens_is_a_router_of_one_route(tmp_path: Path) -> None:
    kinds = ("StaticEmbedding", "Normalize")
    modules = [{"type": ST + kind, "path": kind} for kind in kinds]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    found = routers.read(tmp_path)
    assert found is not None
    [way] = found.ways
    assert (way.asked_as, [one.name for one in way.modules]) == ((), list(kinds))
    assert found.default == way.name


@pytest.mark.parametrize(
    "modules",
    [None, [], {}, [{"type": f"{ST}Transformer", "path": ""}], [{"type": "x.Router", "path": ""}]],
)
def test_other_checkpoints_have_no_router(tmp_path: Path, modules: Any) -> None:
    if modules is not None:
        (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert routers.read(tmp_path) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"default_route": "third"}, "'third' is not one of its routes"),
        ({"route_mappings": {"('query', None)": "third"}}, "'third' is not one of its routes"),
        ({"route_mappings": {"query": "document"}}, "route_mappings: query is not a pair"),
        ({"route_mappings": {"__import__('os')": "document"}}, "is not a pair"),
        ({"route_mappings": {"(1, 2, 3)": "document"}}, "is not a pair"),
        ({"route_by": "length"}, "parameter route_by is not supported"),
    ],
)
def test_invalid_routers_are_refused(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        routers.read(write(tmp_path, TWO, parameters))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "router_config.json is missing, or describes no routes: fetch"),
        ({"structure": {"query": ["a"]}, "types": {}}, "'a' has no type"),
        ({"structure": {"query": [7]}, "types": {}}, "7 has no type"),
        ({"structure": {"query": []}, "types": {}}, "route query has no modules"),
        (
            {"structure": {"query": ["../../etc"]}, "types": {"../../etc": f"{ST}Transformer"}},
            "leads out of the checkpoint",
        ),
    ],
)
def test_a_damaged_router_is_refused(tmp_path: Path, config: Any, message: str) -> None:
    write(tmp_path, TWO, {})
    (tmp_path / "router_config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match=message):
        routers.read(tmp_path)


def test_a_route_is_unfolded_to_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    checkpoint = tmp_path / "whole"
    (checkpoint / "document_0_Transformer").mkdir(parents=True)
    (checkpoint / "document_0_Transformer/config.json").write_text("{}")
    (checkpoint / "config_sentence_transformers.json").write_text('{"prompts": {}}')
    found = routers.read(write(checkpoint, TWO, {}, behind=("Normalize",)))
    assert found is not None
    folder = routers.unfold(found.ways[1], checkpoint, tmp_path / "route")
    modules = json.loads((folder / "modules.json").read_text())
    assert [one["path"] for one in modules] == ["0_Transformer", "1_Pooling", "2_Normalize"]
    assert (folder / "0_Transformer/config.json").read_text() == "{}"
    assert (folder / "config_sentence_transformers.json").is_file()


def static(folder: Path, kind: str, **files: Any) -> Path:
    """Return the folder of a static route with these JSON files in it."""
    place = folder / f"0_{kind}"
    place.mkdir()
    for name, content in {"tokenizer": {}, **files}.items():
        (place / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        (
            "SparseStaticEmbedding",
            {"config": {"path": "idf.json"}},
            "names its weights by a path, 'idf.json': .*save_pretrained",
        ),
        ("SparseStaticEmbedding", {}, "has no weights: model.safetensors"),
        ("StaticEmbedding", {}, "has no weights: model.safetensors"),
        ("StaticEmbedding", {"tokenizer": None}, "tokenizer.json is not a JSON object|no weights"),
    ],
)
def test_a_static_route_that_cannot_be_read_is_refused(
    tmp_path: Path, kind: str, files: dict[str, Any], message: str
) -> None:
    way = Way("query", ("query",), (Module(ST + kind, kind),))
    with pytest.raises(ExportError, match=message):
        static_models.read(way, static(tmp_path, kind, **files))


@pytest.mark.parametrize(
    ("kind", "files", "length"),
    [
        ("SparseStaticEmbedding", {"tokenizer_config": {"model_max_length": 77}}, 77),
        ("SparseStaticEmbedding", {"tokenizer_config": {"model_max_length": 10**30}}, 8192),
        ("StaticEmbedding", {"tokenizer_config": {"model_max_length": 77}}, 8192),
        (
            "StaticEmbedding",
            {"tokenizer": {"truncation": {"direction": "Right", "max_length": 20}}},
            20,
        ),
    ],
)
def test_a_static_route_is_as_long_as_the_library_lets_it_be(
    tmp_path: Path, kind: str, files: dict[str, Any], length: int
) -> None:
    import torch
    from safetensors.torch import save_file

    folder = static(tmp_path, kind, **files)
    sparse = kind == "SparseStaticEmbedding"
    weights = {"weight": torch.ones(5)} if sparse else {"embeddings": torch.ones(5, 3)}
    save_file(weights, folder / f"0_{kind}" / "model.safetensors")
    found = static_models.read(Way("query", ("query",), (Module(ST + kind, kind),)), folder)
    assert found.checkpoint.max_input_length == length
    assert found.checkpoint.dimensions == (5 if sparse else 3)
