"""Answers for the API's description that no verb gives: errors, `/info`, `/v1/models`."""

from app.api.shapes.openapi_types import COUNT, TEXT, Named, Schema, list_of, record
from app.errors import ServiceError

OBJECT: Schema = {"type": "object"}
OPTIONAL_TEXT: Schema = {**TEXT, "nullable": True}

ERROR_TYPE = Named(
    "ErrorType", {**TEXT, "enum": [one.error_type for one in ServiceError.__subclasses__()]}
)
ERROR = Named("ErrorResponse", record(error=TEXT, error_type=ERROR_TYPE))
OPENAI_ERROR = Named(
    "OpenAICompatErrorResponse",
    record(message=TEXT, code={"type": "integer"}, type=ERROR_TYPE, error=OBJECT),
)
COHERE_ERROR = Named("CohereErrorResponse", record(message=TEXT))
MODEL = Named("Model", record(id=TEXT, object=TEXT, created=COUNT, owned_by=TEXT))
MODELS = Named("ModelList", record(object=TEXT, data=list_of(MODEL)))
CLASSIFIER = Named(
    "ClassifierModel",
    record(
        id2label={**OBJECT, "additionalProperties": TEXT},
        label2id={**OBJECT, "additionalProperties": COUNT},
    ),
)
MODEL_TYPE = Named(
    "ModelType",
    {
        "oneOf": [
            record(classifier=CLASSIFIER),
            record(embedding=Named("EmbeddingModel", record(pooling=TEXT))),
            record(reranker=CLASSIFIER),
        ]
    },
)
INFO = Named(
    "Info",
    record(
        model_id=TEXT,
        model_sha=OPTIONAL_TEXT,
        model_dtype=TEXT,
        served_model_name=TEXT,
        model_type=MODEL_TYPE,
        max_concurrent_requests=COUNT,
        max_input_length=COUNT,
        max_batch_tokens=COUNT,
        max_batch_requests={**COUNT, "nullable": True},
        max_client_batch_size=COUNT,
        auto_truncate={"type": "boolean"},
        tokenization_workers=COUNT,
        version=TEXT,
        sha=OPTIONAL_TEXT,
        docker_label=OPTIONAL_TEXT,
        provider=TEXT,
        provider_reason=TEXT,
        graph=TEXT,
        fingerprint=TEXT,
        proof=OBJECT,
        vectors=list_of(TEXT),
        vectors_left_out=list_of(TEXT),
        activation=OPTIONAL_TEXT,
        default_prompt_name=OPTIONAL_TEXT,
        default_prompt=OPTIONAL_TEXT,
        prompts={**OBJECT, "additionalProperties": TEXT},
        truncation_direction=TEXT,
        pooling_source=OPTIONAL_TEXT,
    ),
)
