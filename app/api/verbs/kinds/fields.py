"""Fields: `output_types`, and the schemas of the answers to it."""

from typing import get_args

from app.api.shapes.choices import SeveralOf
from app.api.shapes.fields import Field
from app.api.shapes.openapi_types import COUNT, NUMBER, Named, list_of, record
from app.model.names import VectorKind

OUTPUT_TYPES = Field(
    "output_types", SeveralOf(get_args(VectorKind), "OutputType"), None, added=True
)

SPARSE_VALUE = Named("SparseValue", record(index=COUNT, value=NUMBER))
SPARSE_VECTOR = list_of(SPARSE_VALUE)
VECTORS = Named(
    "EmbedVectors",
    {
        "type": "object",
        "properties": {
            "dense": list_of(NUMBER),
            "sparse": SPARSE_VECTOR,
            "multi_vector": list_of(list_of(NUMBER)),
        },
    },
)
