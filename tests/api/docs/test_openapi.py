"""The API's description, as it is served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft4Validator
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import ServiceError
from app.model.names import Task
from tests.support.description import document_of, expanded
from tools import tiny
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def document(app: ASGIApp) -> Any:
    return document_of(app)


def body_of(document: Any, path: str) -> Any:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return expanded(document, content["application/json"]["schema"])


def test_every_route_but_aliases_and_envelopes_is_described(document: Any) -> None:
    assert document["openapi"] == "3.0.3"
    assert set(document["paths"]) == {
        "/decode", "/embed", "/embed_all", "/embed_sparse", "/embeddings", "/health", "/info",
        "/livez", "/metrics", "/predict", "/readyz", "/rerank", "/similarity", "/tokenize", "/v1/embeddings",
        "/v1/models", "/v1/models/{id}", "/v1/rerank", "/v2", "/v2/embed", "/v2/health/live", "/v2/health/ready",
        "/v2/models/{model_name}", "/v2/models/{model_name}/infer", "/v2/models/{model_name}/ready", "/v2/rerank",
    }  # fmt: skip


def test_bodies_are_what_the_readers_read(document: Any) -> None:
    embed = body_of(document, "/embed")
    assert embed["required"] == ["inputs"]
    assert embed["properties"]["truncate"] == {"type": "boolean", "nullable": True}
    assert embed["properties"]["normalize"] == {
        "type": "boolean",
        "nullable": True,
        "default": True,
    }
    assert embed["properties"]["truncation_direction"] == {
        "type": "string",
        "enum": ["Left", "Right"],
        "nullable": True,
    }
    assert rows(embed["properties"]["inputs"]) == [{"minItems": 1}, {"minItems": 1, "maxItems": 32}]
    similarity = body_of(document, "/similarity")["properties"]
    assert similarity["inputs"]["required"] == ["source_sentence", "sentences"]
    assert similarity["parameters"]["nullable"] is True
    assert body_of(document, "/v1/embeddings")["required"] == ["input"]


def test_exactly_the_optional_fields_may_be_null(document: Any) -> None:
    schemas = document["components"]["schemas"]
    shapes = [name for name in schemas if name.endswith(("Request", "SimilarityParameters"))]
    assert len(shapes) == 13
    for shape in map(schemas.get, shapes):
        for name, field in shape["properties"].items():
            is_optional = name not in shape.get("required", [])
            assert field.get("nullable", field == {}) is is_optional, name


def rows(schema: Any) -> list[dict[str, int]]:
    """Return the bounds on each array that a field may be."""
    if "anyOf" in schema:
        return [bounds for one in schema["anyOf"] for bounds in rows(one)]
    arrays = [schema] if schema["type"] == "array" else []
    return [{name: one[name] for name in ("minItems", "maxItems") if name in one} for one in arrays]


def test_limits_are_those_of_the_model_and_the_options(make_service: MakeService) -> None:
    _, app = make_service(max_client_batch_size=5, payload_limit=1000)
    document = document_of(app)
    embed = document["paths"]["/embed"]["post"]["requestBody"]
    assert embed["description"] == "At most 1000 bytes."
    fields = body_of(document, "/embed")["properties"]
    assert rows(fields["inputs"])[-1] == {"minItems": 1, "maxItems": 5}
    assert (fields["dimensions"]["minimum"], fields["dimensions"]["maximum"]) == (
        1,
        tiny.DIMENSIONS,
    )
    assert fields["prompt_name"]["description"].endswith("there are: `query`, `passage`.")
    sentences = body_of(document, "/similarity")["properties"]["inputs"]["properties"]["sentences"]
    assert rows(sentences) == [{"minItems": 1, "maxItems": 4}]
    documents = body_of(document, "/v1/rerank")["properties"]
    assert rows(documents["documents"]) == [{"minItems": 1, "maxItems": 5}]
    assert documents["top_n"]["maximum"] == 2**64 - 1
    assert rows(body_of(document, "/decode")["properties"]["ids"]) == [
        {"minItems": 1},
        {"minItems": 1, "maxItems": 5},
    ]


OUTSIDE: list[tuple[str, dict[str, Any]]] = [
    ("/embed", {"inputs": ["a"] * 6}),
    ("/embed", {"inputs": []}),
    ("/embed", {"inputs": [[]]}),
    ("/embed", {"inputs": "a", "output_types": []}),
    ("/embed", {"inputs": "a", "output_types": ["lexical"]}),
    ("/embed", {"inputs": "a", "dimensions": 0}),
    ("/embed", {"inputs": "a", "dimensions": 17}),
    ("/v1/embeddings", {"input": "a", "dimensions": 17}),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 5}}),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}),
    ("/tokenize", {"inputs": ["a"] * 6}),
    ("/tokenize", {"inputs": []}),
    ("/decode", {"ids": [[1]] * 6}),
    ("/decode", {"ids": []}),
    ("/decode", {"ids": [[]]}),
]


@pytest.mark.parametrize(("path", "body"), OUTSIDE)
def test_requests_outside_the_description_are_refused(
    make_service: MakeService, path: str, body: dict[str, Any]
) -> None:
    _, app = make_service(max_client_batch_size=5)
    document = document_of(app)
    schema = body_of(document, path)
    assert not Draft4Validator(schema).is_valid(body)
    assert post(app, path, body).status in {400, 422}


def test_the_edges_of_what_is_described_are_taken(make_service: MakeService) -> None:
    _, app = make_service(max_client_batch_size=5)
    for path, body in (
        ("/embed", {"inputs": ["a"] * 5, "dimensions": 16}),
        ("/embed", {"inputs": "a", "dimensions": 1, "prompt_name": None}),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 4}}),
        ("/tokenize", {"inputs": ["a"] * 5}),
        ("/decode", {"ids": [[1]] * 5}),
    ):
        assert post(app, path, body).status == 200, (path, body)


def test_rerank_takes_either_dialect_and_answers_in_it(document: Any) -> None:
    rerank = document["paths"]["/rerank"]["post"]
    either = rerank["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert [schema["$ref"] for schema in either] == [
        "#/components/schemas/RerankRequest",
        "#/components/schemas/RerankDocumentsRequest",
    ]
    answers = rerank["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [answer["$ref"] for answer in answers] == [
        "#/components/schemas/RerankResponse",
        "#/components/schemas/RerankDocumentsResponse",
    ]


# From TEI 1.9.3's description; generated clients make classes and modules of these names.
OF_TEI = {
    "ClassifierModel", "DecodeRequest", "DecodeResponse", "EmbedAllRequest", "EmbedAllResponse", "EmbedRequest",
    "EmbedResponse", "EmbedSparseRequest", "EmbedSparseResponse", "Embedding", "EmbeddingModel", "EncodingFormat",
    "ErrorResponse", "ErrorType", "Info", "Input", "InputIds", "InputType", "ModelType", "OpenAICompatEmbedding",
    "OpenAICompatErrorResponse", "OpenAICompatRequest", "OpenAICompatResponse", "OpenAICompatUsage", "PredictInput",
    "PredictRequest", "PredictResponse", "Prediction", "Rank", "RerankRequest", "RerankResponse", "SimilarityInput",
    "SimilarityParameters", "SimilarityRequest", "SimilarityResponse", "SimpleToken", "SparseValue", "TokenizeInput",
    "TokenizeRequest", "TokenizeResponse", "TruncationDirection",
}  # fmt: skip
OURS = {
    "CohereContentType", "CohereEmbedContent", "CohereEmbedInput", "CohereEmbedRequest", "CohereEmbedResponse",
    "CohereEmbeddingType", "CohereEmbeddings", "CohereErrorResponse", "CohereInputType", "CohereMeta", "CohereTruncate",
    "Document", "DocumentText", "EmbedVectors", "Included", "InferInput", "InferInputParameters", "InferOutput",
    "InferOutputParameters", "InferParameters", "InferRequest", "InferRequestedOutput", "InferResponse", "Model",
    "ModelList", "ModelMetadata", "ModelReady", "OpenAICompatInput", "OpenInferenceError", "OutputDtype", "OutputType", "Overflow",
    "RankedDocument", "RerankDocumentsRequest", "RerankDocumentsResponse", "ServerLive", "ServerMetadata", "ServerReady", "TensorData",
    "TensorMetadata",
}  # fmt: skip


def test_components_go_by_the_names_of_tei(document: Any) -> None:
    assert set(document["components"]["schemas"]) == OF_TEI | OURS
    for path, name in (
        ("/embed", "Embed"), ("/embed_all", "EmbedAll"), ("/embed_sparse", "EmbedSparse"), ("/predict", "Predict"),
        ("/similarity", "Similarity"), ("/tokenize", "Tokenize"), ("/decode", "Decode"), ("/v1/embeddings", "OpenAICompat"),
    ):  # fmt: skip
        described = document["paths"][path]["post"]
        asked, answered = described["requestBody"], described["responses"]["200"]
        for content, kind in ((asked, "Request"), (answered, "Response")):
            schema = content["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{name}{kind}"}


def test_every_answer_and_error_has_a_name(document: Any) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                if "application/json" in content:
                    schema = content["application/json"]["schema"]
                    assert all("$ref" in one for one in schema.get("anyOf", [schema]))


def test_generators_find_a_name_of_its_own_for_each_value_of_an_enum(document: Any) -> None:
    enums = {n: s["enum"] for n, s in document["components"]["schemas"].items() if "enum" in s}
    assert set(enums) == {
        "CohereContentType", "CohereEmbeddingType", "CohereInputType", "CohereTruncate", "EncodingFormat", "ErrorType",
        "Included", "OutputDtype", "OutputType", "Overflow", "TruncationDirection",
    }  # fmt: skip
    for values in enums.values():
        assert len({value.upper() for value in values}) == len(values)
    assert json.dumps(document).count('"enum"') == len(enums)  # none is written in place


def test_every_error_type_is_described(document: Any) -> None:
    described = document["components"]["schemas"]["ErrorType"]["enum"]
    kinds = ServiceError.__subclasses__()
    assert kinds
    while kinds:
        one = kinds.pop()
        assert one.error_type in described
        kinds += one.__subclasses__()


def test_operations_go_by_the_names_of_tei(document: Any) -> None:
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    assert {
        "decode", "embed", "embed_all", "embed_sparse", "get_model_info", "health", "metrics",
        "openai_embed", "predict", "rerank", "similarity", "tokenize",
    } < set(names)  # fmt: skip
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for one in operations for tag in one["tags"]} == tags
    assert all(one["summary"].endswith(".") for one in operations)


@pytest.mark.parametrize("task", get_args(Task))
def test_every_example_can_be_tried(make_service: MakeService, tmp_path: Path, task: Task) -> None:
    tiny.build(tmp_path / task, task)
    _, app = make_service(model_id=str(tmp_path / task))
    document = document_of(app)
    fit = {
        "embedding": {
            "/embed",
            "/embed_all",
            "/similarity",
            "/embeddings",
            "/v1/embeddings",
            "/v2/embed",
        },
        "splade": {"/embed_sparse", "/similarity"},
        "classifier": {"/predict"},
        "reranker": {"/predict", "/rerank", "/v1/rerank", "/v2/rerank"},
        "multi_vector": {"/embed_all"},
    }[task] | {"/tokenize", "/decode"}
    for path, methods in document["paths"].items():
        for one in [methods["post"]] if "post" in methods and "{" not in path else []:
            examples = one["requestBody"]["content"]["application/json"]["examples"]
            assert examples
            statuses = {post(app, path, example["value"]).status for example in examples.values()}
            # A dense vector of a SPLADE model cannot be normalized, as in TEI.
            only_raw = (task, path) == ("splade", "/embed")
            assert statuses == ({200} if path in fit else {200, 424} if only_raw else {424}), path


def test_info_and_models_are_what_is_described(app: ASGIApp, document: Any) -> None:
    for path in ("/info", "/v1/models"):
        described = document["paths"][path]["get"]["responses"]["200"]["content"]
        schema = expanded(document, described["application/json"]["schema"])
        assert schema["required"] == list(request(app, "GET", path, headers={}).json)


def test_answers_and_errors_have_their_shapes(document: Any) -> None:
    responses = document["paths"]["/v1/embeddings"]["post"]["responses"]
    assert set(responses) == {"200", "400", "408", "413", "415", "422", "424", "429", "504"}
    answer = expanded(document, responses["200"]["content"]["application/json"]["schema"])
    assert answer["required"] == ["object", "data", "model", "usage"]
    error = expanded(document, responses["424"]["content"]["application/json"]["schema"])
    assert error["required"] == ["message", "code", "type", "error"]
    assert set(document["paths"]["/health"]["get"]["responses"]) == {"200", "503"}
    asked = document["paths"]["/tokenize"]["post"]["responses"]
    assert set(asked) == {"200", "400", "408", "413", "415", "422", "429", "504"}


def test_a_key_is_described_where_one_is_needed(make_service: MakeService) -> None:
    _, app = make_service(api_key="k")
    document = document_of(app)
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/embed"]["post"]["security"] == [{"key": []}]
    assert "401" in document["paths"]["/info"]["get"]["responses"]
    assert "security" not in document["paths"]["/health"]["get"]
