"""Batch operations: files and batches in the API's description."""

from typing import Any

from app.api.docs.openapi import Content, Operation, in_json, in_octets
from app.api.shapes.openapi_types import COUNT, TEXT, Named, Schema, list_of, record

BATCHES = "Batches"
_TIME: Schema = {**COUNT, "nullable": True}
_OPTIONAL: Schema = {**TEXT, "nullable": True}
_OBJECT: Schema = {"type": "object"}
_KEPT: Schema = {
    "type": "object",
    "properties": {"anchor": {**TEXT, "default": "created_at"}, "seconds": COUNT},
    "nullable": True,
}

FILE = Named(
    "File",
    record(
        object=TEXT,
        id=TEXT,
        purpose=TEXT,
        filename=TEXT,
        bytes=COUNT,
        created_at=COUNT,
        expires_at=_TIME,
        status=TEXT,
        status_details=_OPTIONAL,
    ),
)
BATCH = Named(
    "Batch",
    record(
        object=TEXT,
        id=TEXT,
        endpoint=TEXT,
        model=_OPTIONAL,
        errors={**_OBJECT, "nullable": True},
        input_file_id=TEXT,
        completion_window=TEXT,
        status=TEXT,
        output_file_id=_OPTIONAL,
        error_file_id=_OPTIONAL,
        created_at=COUNT,
        in_progress_at=_TIME,
        expires_at=_TIME,
        finalizing_at=_TIME,
        completed_at=_TIME,
        failed_at=_TIME,
        expired_at=_TIME,
        cancelling_at=_TIME,
        cancelled_at=_TIME,
        request_counts=Named(
            "BatchRequestCounts", record(total=COUNT, completed=COUNT, failed=COUNT)
        ),
        usage=_OBJECT,
        metadata={**_OBJECT, "nullable": True},
    ),
)
DELETED = Named("DeletedFile", record(id=TEXT, object=TEXT, deleted={"type": "boolean"}))
ERROR = Named("BatchErrorResponse", record(error=_OBJECT))
NEW_BATCH = Named(
    "BatchRequest",
    {
        "type": "object",
        "properties": {
            "input_file_id": TEXT,
            "endpoint": {**TEXT, "default": "/v1/embeddings"},
            "completion_window": {**TEXT, "default": "24h"},
            "metadata": {**_OBJECT, "nullable": True},
            "output_expires_after": _KEPT,
        },
        "required": ["input_file_id", "endpoint", "completion_window"],
    },
)
NEW_FILE = Named(
    "FileRequest",
    {
        "type": "object",
        "properties": {"purpose": TEXT, "file": {**TEXT, "format": "binary"}},
        "required": ["purpose", "file"],
    },
)
_EXAMPLE = {"input_file_id": "file-…", "endpoint": "/v1/embeddings", "completion_window": "24h"}


def _list(name: str, of: Named) -> Content:
    fields = record(object=TEXT, data=list_of(of), has_more={"type": "boolean"})
    return in_json(Named(name, fields))


def _operation(method: str, path: str, id_: str, summary: str, **more: Any) -> Operation:
    return Operation(
        path=path,
        method=method,
        id=id_,
        tag=BATCHES,
        summary=summary,
        error=in_json(ERROR),
        keeps=True,
        **more,
    )


BATCH_OPERATIONS = (
    _operation(
        "post",
        "/v1/files",
        "create_file",
        "Upload JSON Lines, a request in each.",
        body={"multipart/form-data": {"schema": NEW_FILE}},
        answer=in_json(FILE),
    ),
    _operation(
        "get",
        "/v1/files",
        "list_files",
        "The files of this key, the newest first.",
        query={"after": TEXT, "limit": COUNT, "order": TEXT, "purpose": TEXT},
        answer=_list("FileList", FILE),
    ),
    _operation(
        "get", "/v1/files/{id}", "get_file", "A file.", parameter="id", answer=in_json(FILE)
    ),
    _operation(
        "delete",
        "/v1/files/{id}",
        "delete_file",
        "Remove a file, unless a batch is reading it.",
        parameter="id",
        answer=in_json(DELETED),
    ),
    _operation(
        "get",
        "/v1/files/{id}/content",
        "get_file_content",
        "The content of a file.",
        parameter="id",
        answer=in_octets(),
    ),
    _operation(
        "post",
        "/v1/batches",
        "create_batch",
        "Compute the requests of a file while the service has nothing else to do.",
        body={"application/json": {"schema": NEW_BATCH, "example": _EXAMPLE}},
        answer=in_json(BATCH),
    ),
    _operation(
        "get",
        "/v1/batches",
        "list_batches",
        "The batches of this key, the newest first.",
        query={"after": TEXT, "limit": COUNT},
        answer=_list("BatchList", BATCH),
    ),
    _operation(
        "get",
        "/v1/batches/{id}",
        "get_batch",
        "A batch, and how far it has come.",
        parameter="id",
        answer=in_json(BATCH),
    ),
    _operation(
        "post",
        "/v1/batches/{id}/cancel",
        "cancel_batch",
        "Cancel a batch; what has been computed becomes its output.",
        parameter="id",
        answer=in_json(BATCH),
    ),
)
