"""Open Inference Protocol: its paths in the API's description."""

from app.api.docs import answers
from app.api.docs.openapi import Operation, in_json, in_octets
from app.api.shapes.openapi_types import TEXT, Named, Schema, list_of, record
from app.api.verbs.open_inference.binary import HEADER
from app.api.verbs.open_inference.infer import Infer

TAG = "Open Inference Protocol"
ERROR = in_json(Named("OpenInferenceError", record(error=TEXT)))
SERVER = Named("ServerMetadata", record(name=TEXT, version=TEXT, extensions=list_of(TEXT)))
_TRUE: Schema = {"type": "boolean"}
LIVE = Named("ServerLive", record(live=_TRUE))
READY = Named("ServerReady", record(ready=_TRUE))
MODEL_READY = Named("ModelReady", record(name=TEXT, ready=_TRUE))
_LENGTHS: Schema = list_of({"type": "integer", "minimum": -1})
_TENSORS: Schema = list_of(
    Named("TensorMetadata", record(name=TEXT, datatype=TEXT, shape=_LENGTHS))
)
MODEL = Named(
    "ModelMetadata",
    record(name=TEXT, versions=list_of(TEXT), platform=TEXT, inputs=_TENSORS, outputs=_TENSORS),
)
_TEXTS = {
    "inputs": [
        {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["one text", "and another"]}
    ]
}
_PAIRS = {
    "inputs": [
        {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["What is deep learning?"]},
        {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["Learning.", "Cheese."]},
    ]
}

OPERATIONS = (
    Operation(
        path="/v2",
        method="get",
        id="server_metadata",
        tag=TAG,
        summary="The service, and the extensions of the protocol that it has.",
        answer=in_json(SERVER),
    ),
    Operation(
        path="/v2/health/live",
        method="get",
        id="server_live",
        tag=TAG,
        summary="Check that the process works, as /livez.",
        answer=in_json(LIVE),
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/v2/health/ready",
        method="get",
        id="server_ready",
        tag=TAG,
        summary="Check that requests can be sent, as /readyz.",
        answer=in_json(READY),
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/v2/models/{model_name}",
        method="get",
        id="model_metadata",
        tag=TAG,
        summary="The tensors that a model takes and yields.",
        parameter="model_name",
        answer=in_json(MODEL),
        error=ERROR,
    ),
    Operation(
        path="/v2/models/{model_name}/ready",
        method="get",
        id="model_ready",
        tag=TAG,
        summary="Check that requests for a model can be sent.",
        parameter="model_name",
        answer=in_json(MODEL_READY),
        error=ERROR,
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/v2/models/{model_name}/infer",
        method="post",
        id="model_infer",
        tag=TAG,
        summary="A vector or the scores of each text; of a reranker, of each text for a query.",
        parameter="model_name",
        shapes=[Infer.shape],
        examples={
            "texts": _TEXTS,
            "a vector in bytes": {**_TEXTS, "parameters": {"binary_data_output": True}},
            "texts for a query": _PAIRS,
        },
        other_bodies=in_octets(),
        headers={HEADER.decode(): "How many bytes of the body are JSON; the rest is binary data."},
        answer={**in_json(Infer.answer), **in_octets()},
        error=ERROR,
        unreadable=ERROR,
        runs_model=True,
    ),
)
