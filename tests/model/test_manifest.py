import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from app.model import untrusted
from app.model.manifest import FILE_NAME, Manifest, ManifestError
from app.model.pair_text import PairText
from tests.support import vector_graphs
from tools import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.build(tmp_path)
    return tmp_path


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / FILE_NAME
    document = json.loads(path.read_text()) | {"digest": ..., **changes}
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not ...}))


def test_a_manifest_survives_a_round_trip(folder: Path) -> None:
    manifest = Manifest.read(folder)
    assert manifest.dimensions == tiny.DIMENSIONS
    assert manifest.graphs[0].outputs[:2] == ("token_embeddings", "sentence_embedding")
    manifest.write(folder)
    assert Manifest.read(folder) == manifest


def test_the_smallest_graph_with_the_output_is_computed(tmp_path: Path) -> None:
    exact, vector = vector_graphs.build(tmp_path, "openvino").graphs
    manifest = Manifest.read(tmp_path)
    assert (vector.integers, exact.integers) == ("int32", "int64")
    assert manifest.graphs == (exact, vector)
    assert manifest.graph_for("openvino", "float32") == vector
    assert manifest.graph_for("cpu", "float32") == exact
    assert manifest.yielding("sentence_embedding") == manifest
    assert manifest.yielding("pooled_cls").graph_for("openvino", "float32") == exact
    assert manifest.graph_for("openvino", "int8") is None


def test_graphs_of_earlier_exports_read_wide_integers(folder: Path) -> None:
    [graph] = json.loads((folder / FILE_NAME).read_text())["graphs"]
    del graph["integers"]
    rewrite(folder, graphs=[graph])
    assert Manifest.read(folder).graphs[0].integers == "int64"


def test_a_folder_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json does not exist: not an exported"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("schema", [5, 0, [1], "1", None, ...])
def test_an_unknown_schema_is_refused(folder: Path, schema: Any) -> None:
    rewrite(folder, schema=schema)
    with pytest.raises(ManifestError, match="this version reads 1 to 4: export the model again"):
        Manifest.read(folder)


OWN = {
    "name": "a",
    "asked_as": ["query"],
    "output": "sentence_embedding",
    "max_input_length": 8,
    "special_tokens": True,
    "graph": None,
}
APART = OWN | {
    "name": "b",
    "output": "other",
    "graph": {
        "file": "other.onnx",
        "dtype": "float32",
        "providers": ["cpu"],
        "inputs": ["input_ids"],
        "outputs": ["other"],
    },
}


def test_routes_are_read_under_a_schema_of_their_own(folder: Path) -> None:
    files = Manifest.read(folder).files | {"other.onnx": "0" * 64}
    rewrite(folder, schema=2, routes=[OWN, APART], default_route="b", files=files)
    found = Manifest.read(folder)
    assert [route.name for route in found.routes] == ["a", "b"]
    assert found.default_route == "b"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"schema": 1}, "routes: they are what schema 2 is for"),
        ({"routes": []}, "routes: they are what schema 2 is for"),
        ({"routes": [APART]}, "routes: not one of them is the model's own graph"),
        ({"routes": [OWN, OWN]}, "routes: not one of them is the model's own graph"),
        ({"routes": [OWN | {"output": "x"}]}, "routes: not one of them is the model's own graph"),
        ({"default_route": "c"}, "default_route: 'c' is not one of the routes"),
        ({"routes": [OWN | {"max_input_length": 0}]}, "max_input_length of a: 0 is not between"),
        ({"files": {}}, "files: 'tokenizer.json' is missing"),
    ],
)
def test_routes_that_do_not_fit_are_refused(
    folder: Path, changes: dict[str, Any], fault: str
) -> None:
    files = Manifest.read(folder).files | {"other.onnx": "0" * 64}
    whole = {"schema": 2, "routes": [OWN, APART], "default_route": None, "files": files}
    rewrite(folder, **whole | changes)
    with pytest.raises(ManifestError, match=re.escape(fault)):
        Manifest.read(folder)


CHAT = {"before": "Q: ", "between": " D: ", "after": " A:", "ending": [5, 6]}


def test_a_pair_text_is_read_under_a_schema_of_its_own(folder: Path) -> None:
    rewrite(folder, schema=3, pair_text=CHAT)
    assert Manifest.read(folder).pair_text == PairText("Q: ", " D: ", " A:", ending=(5, 6))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"schema": 1}, "pair_text: it is what schema 3 is for"),
        ({"pair_text": None}, "pair_text: it is what schema 3 is for"),
        ({"pair_text": CHAT | {"ending": [10**6]}}, "pair_text.ending: 1000000 is not between"),
        ({"pair_text": CHAT | {"after": 1}}, "pair_text.after: 1 is not of type str"),
    ],
)
def test_a_pair_text_that_does_not_fit_is_refused(
    folder: Path, changes: dict[str, Any], fault: str
) -> None:
    rewrite(folder, **{"schema": 3, "pair_text": CHAT} | changes)
    with pytest.raises(ManifestError, match=re.escape(fault)):
        Manifest.read(folder)


IN_INT16 = {
    "file": "model.onnx",
    "dtype": "int16",
    "providers": ["cpu"],
    "inputs": ["input_ids"],
    "outputs": ["sentence_embedding"],
}


@pytest.mark.parametrize("more", [{}, {"routes": [OWN], "default_route": "a"}, {"pair_text": CHAT}])
def test_int16_is_read_under_a_schema_of_its_own(folder: Path, more: dict[str, Any]) -> None:
    graphs = json.loads((folder / FILE_NAME).read_text())["graphs"]
    rewrite(folder, schema=4, graphs=[*graphs, IN_INT16], **more)
    found = Manifest.read(folder)
    assert found.graph_for("cpu", "int16") == found.graphs[-1]
    rewrite(folder, schema=1)
    with pytest.raises(ManifestError, match="graphs: one in int16 is what schema 4 is for"):
        Manifest.read(folder)


def test_a_schema_for_nothing_is_refused(folder: Path) -> None:
    rewrite(folder, schema=4)
    with pytest.raises(ManifestError, match="graphs: one in int16 is what schema 4 is for"):
        Manifest.read(folder)


def test_the_file_of_every_route_counts(folder: Path) -> None:
    rewrite(folder, schema=2, routes=[OWN, APART])
    with pytest.raises(ManifestError, match=r"files: 'other\.onnx' is missing"):
        Manifest.read(folder)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"pooling": "median"},
            "pooling: 'median' is not one of 'cls', 'mean', 'last_token', 'max', "
            "'mean_sqrt_len_tokens', 'weightedmean'",
        ),
        ({"dimensions": "384"}, "dimensions: '384' is not of type int"),
        ({"dimensions": True}, "dimensions: True is not of type int"),
        ({"dimensions": ...}, "dimensions is missing"),
        ({"graphs": {}}, "graphs: {} is not of type tuple"),
        ({"graphs": [{"file": 1}]}, "graphs[0].file: 1 is not of type str"),
        ({"padding": []}, "padding: [] is not an object"),
        ({"prompts": {"query": 3}}, "prompts.query: 3 is not of type str"),
        ({"files": {"../model.onnx": ""}}, "files: '../model.onnx' leads out of the folder"),
        ({"files": {"/etc/passwd": ""}}, "files: '/etc/passwd' leads out of the folder"),
        ({"created": "today"}, "created: 'today' is not a date and a time"),
        ({"files": {}}, "files: 'tokenizer.json' is missing"),
        ({"max_input_length": 0}, "max_input_length: 0 is not between 1 and 2147483647"),
        ({"vocabulary_size": 2**31}, "vocabulary_size: 2147483648 is not between 1 and 2147483647"),
        (
            {"padding": {"id": -1, "type_id": 0, "side": "right"}},
            f"padding.id: -1 is not between 0 and {len(tiny.WORDS) - 1}",
        ),
    ],
)
def test_a_misfit_is_named(folder: Path, changes: dict[str, Any], fault: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(folder)
    assert str(caught.value) == f"{folder / FILE_NAME}: {fault}"


def test_a_manifest_that_is_no_json_is_named(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"{")
    with pytest.raises(ManifestError, match=r"manifest\.json cannot be read"):
        Manifest.read(folder)


def test_fields_of_a_later_version_are_ignored(folder: Path) -> None:
    rewrite(folder, invented_later=1)
    assert Manifest.read(folder).task == "embedding"


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "probes.npz"])
def test_one_changed_byte_is_found_and_its_file_named(folder: Path, name: str) -> None:
    manifest = Manifest.read(folder)
    manifest.verify_files(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ManifestError, match=f"{name} is not the file that was exported"):
        manifest.verify_files(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.onnx.data").unlink()
    with pytest.raises(ManifestError, match=r"model\.onnx\.data cannot be read: No such file"):
        Manifest.read(folder).verify_files(folder)


def test_one_changed_bit_of_the_manifest_is_found_or_means_nothing(folder: Path) -> None:
    manifest = Manifest.read(folder)
    path = folder / FILE_NAME
    content = path.read_bytes()
    found = 0
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            assert Manifest.read(folder) == manifest  # white space, or the key of the digest
        except ManifestError as error:
            assert str(path) in str(error)  # noqa: PT017  # either may happen
            found += 1
    assert found > 0.8 * len(content) / 3


def test_another_pooling_is_found_though_it_is_a_pooling(folder: Path) -> None:
    path = folder / FILE_NAME
    path.write_text(path.read_text().replace('"pooling": "mean"', '"pooling": "last_token"'))
    with pytest.raises(ManifestError, match=r"manifest\.json is not as it was exported"):
        Manifest.read(folder)


def test_a_manifest_from_before_it_had_a_digest_is_read(folder: Path) -> None:
    manifest = Manifest.read(folder)
    rewrite(folder)
    assert "digest" not in json.loads((folder / FILE_NAME).read_text())
    assert Manifest.read(folder) == manifest


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[" * 1_000_000, "it is nested too deeply"),
        (b" " * (untrusted.MOST_JSON + 1), "it is larger than 16 MiB"),
        (b"\xff\xfe\xfa", "codec can't decode"),
    ],
)
def test_a_hostile_manifest_is_one_line(folder: Path, content: bytes, fault: str) -> None:
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(ManifestError, match=rf"manifest\.json cannot be read: .*{fault}") as caught:
        Manifest.read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [FILE_NAME, "model.onnx", "tokenizer.json"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ManifestError, match=rf"{name} cannot be read: it is not a plain file"):
        Manifest.read(folder).verify_files(folder)
