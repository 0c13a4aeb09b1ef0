"""Several kinds of vectors in one answer, also in parts."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from app.api.verbs.kinds import rendering
from app.api.verbs.kinds.rendering import Frame, gathered, objects
from app.inference.kinds.served_kinds import KindVectors
from app.model.vectors import SparseVector
from tests.api.conftest import MakeKind
from tools.asgi import post

TEXTS = ["the cat sat on the mat", "a", "unknowable"]
ALL = ["dense", "sparse", "multi_vector"]


def test_every_kind_is_what_its_own_route_answers(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    found = post(app, "/embed", {"inputs": TEXTS, "output_types": ALL}).json
    alone = {
        "dense": post(app, "/embed", {"inputs": TEXTS}).json,
        "sparse": post(app, "/embed_sparse", {"inputs": TEXTS}).json,
        "multi_vector": post(app, "/embed_all", {"inputs": TEXTS}).json,
    }
    assert [list(one) for one in found] == [ALL] * 3
    for kind, vectors in alone.items():
        assert [one[kind] for one in found] == vectors
    assert found[2]["sparse"] == []  # without a word of the vocabulary


@pytest.mark.parametrize("kinds", [["sparse"], ["dense"], ["multi_vector", "dense"]])
def test_an_answer_has_what_was_asked_for(make_kind: MakeKind, kinds: list[str]) -> None:
    app = make_kind("whole")
    whole = post(app, "/embed", {"inputs": TEXTS, "output_types": ALL}).json
    found = post(app, "/embed", {"inputs": TEXTS, "output_types": kinds}).json
    assert found == [{kind: one[kind] for kind in ALL if kind in kinds} for one in whole]


def test_openai_s_route_has_them_beside_the_embedding(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    whole = post(app, "/embed", {"inputs": TEXTS, "output_types": ALL}).json
    answer = post(app, "/v1/embeddings", {"input": TEXTS, "output_types": ALL}).json
    assert list(answer) == ["object", "data", "model", "usage"]
    assert answer["data"] == [
        {
            "object": "embedding",
            "embedding": one["dense"],
            "sparse": one["sparse"],
            "multi_vector": one["multi_vector"],
            "index": place,
        }
        for place, one in enumerate(whole)
    ]
    body = {"input": TEXTS, "output_types": ["sparse"], "encoding_format": "base64"}
    [first, *_] = post(app, "/v1/embeddings", body).json["data"]
    assert first == {"object": "embedding", "sparse": whole[0]["sparse"], "index": 0}


def test_base64_is_of_every_vector_of_floats(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    body = {"input": TEXTS[0], "output_types": ALL, "encoding_format": "base64"}
    [coded] = post(app, "/v1/embeddings", body).json["data"]
    [plain] = post(app, "/v1/embeddings", body | {"encoding_format": "float"}).json["data"]

    def decoded(text: str) -> Any:
        return np.frombuffer(base64.b64decode(text), "<f4")

    np.testing.assert_array_equal(
        decoded(coded["embedding"]), np.array(plain["embedding"], np.float32)
    )
    assert coded["sparse"] == plain["sparse"]
    for one, row in zip(coded["multi_vector"], plain["multi_vector"], strict=True):
        np.testing.assert_array_equal(decoded(one), np.array(row, np.float32))


def test_normalize_and_dimensions_are_of_the_dense_vector(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    options = {"normalize": False, "dimensions": 3}
    found = post(app, "/embed", {"inputs": TEXTS, "output_types": ALL, **options}).json
    plain = post(app, "/embed", {"inputs": TEXTS, **options}).json
    others = post(app, "/embed", {"inputs": TEXTS, "output_types": ALL}).json
    assert [one["dense"] for one in found] == plain
    assert [one["multi_vector"] for one in found] == [one["multi_vector"] for one in others]


def test_parts_are_joined_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "PART_BYTES", 4)
    assert list(gathered([b"ab", b"c", b"d", b"efghi", b"j"])) == [b"abcd", b"efghi", b"j"]


def test_an_input_may_have_no_vector_of_a_token_and_no_entry() -> None:
    nothing = SparseVector(np.empty(0, np.int64), np.empty(0, np.float32))
    vectors = KindVectors(None, [nothing], [np.empty((0, 4), np.float32)])
    assert json.loads(b"".join(objects(vectors, 1, Frame()))) == [
        {"sparse": [], "multi_vector": []}
    ]
