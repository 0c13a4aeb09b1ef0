"""Everything that can go wrong, as one tree; each class carries its wire type and HTTP status.

    ServiceError                      answered as JSON by the dialect of the route
    ├── InvalidInput            422   a value the model or the limits cannot take
    │   ├── BatchTooLarge       422   more inputs than one request may hold
    │   └── ModelNotFound       404   none of several models has the name that the request gives
    ├── EmptyInput              400   nothing to embed
    ├── TokenizationFailed      422   the tokenizer refused the text
    ├── BackendFailed           424   the model cannot do this, or a run failed
    │   ├── OutOfMemory         424   for this run; a smaller one may succeed
    │   ├── DeviceLost          424   no run succeeds until the process is replaced
    │   ├── NotFinite           424   the model yields NaN or infinity
    │   └── ModelMismatch       424   the model is of another kind
    ├── Overloaded              429   too few permits or bytes are free; try again later
    ├── DeadlineExceeded        504   the client's own deadline passed
    └── Unhealthy               503   the model does not answer
    UnreadableRequest                 answered as plain text before any dialect sees the request
    ├── UnsupportedMediaType    415
    ├── PayloadTooLarge         413
    ├── BodyTimeout             408
    ├── BrokenBody              400   it breaks off, or is wrongly chunked
    ├── BadTimeout              400   not a number of milliseconds
    ├── MalformedBody           400   not JSON
    ├── MalformedTensor         400   binary data that is not what its JSON says
    └── MistypedBody            422   JSON of another shape
    ClientGone                        no one is left to answer
    StartupError                      one line for the operator; the process exits with 1

Other modules have errors that no client sees. What becomes of each where it is caught:

    UsageError       of the command line     one line for the operator; the process exits with 2
    ManifestError    of a model's folder     StartupError, or what the export raises
    ProbesError      of its probes           the same
    UnknownName      of a model's name       the same
    Misfit           of a parsed value       ManifestError, MalformedBody or MistypedBody
    Fault            of JSON read in slices  MalformedBody or MistypedBody
    HeadTooLarge     of a request's head     a status without the application
    Refused          of a request's head     the same
    Broken           of a request's body     BrokenBody
    BatchError       of files and batches    OpenAI's `error` object, with the status that it has
    NotNow           of a batch's requests   they are computed later
    NoRoom           of a batch's request    it is computed with the next ones
    InputGone        of a batch's file       the batch fails
    JobError         of a bulk job           one line for the operator; the process exits with 1
    CallRefused      of a gRPC call          a status in place of an answer
    WorkerLost       of a session            every request fails, and the process is to be replaced

Types, statuses and texts follow TEI 1.9.3 (router/src/lib.rs, core/src/lib.rs).
"""

from collections.abc import Sequence
from typing import ClassVar

LONGEST_NAME = 100  # characters of a model's name that are shown: it may be a client's text


class ServiceError(Exception):
    """A request that cannot be answered; its message is the text that the client reads."""

    error_type: ClassVar[str]
    status: ClassVar[int]
    metric_label: str  # of te_request_failure; the tokenization stage sets its own
    inputs: int = 1  # of the request, that are at fault: te_request_failure counts each


class InvalidInput(ServiceError):
    """A value is outside what the model or the configured limits allow."""

    error_type = "Validation"
    status = 422
    metric_label = "validation"


class BatchTooLarge(InvalidInput):
    """A request holds more inputs than one client batch may."""

    metric_label = "batch_size"


class ModelNotFound(InvalidInput):
    """None of the models has the name that a request gives."""

    status = 404

    def __init__(self, name: str, names: Sequence[str]) -> None:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        super().__init__(f"The model `{shown}` does not exist; there are: `{'`, `'.join(names)}`")


class EmptyInput(ServiceError):
    """An input is empty."""

    error_type = "Empty"
    status = 400
    metric_label = "validation"


class TokenizationFailed(ServiceError):
    """The tokenizer library could not encode or decode an input."""

    error_type = "Tokenizer"
    status = 422
    metric_label = "tokenization"


class BackendFailed(ServiceError):
    """The model failed on this input, or cannot do what was asked."""

    error_type = "Backend"
    status = 424
    metric_label = "inference"


class OutOfMemory(BackendFailed):
    """A run needed more memory than there is; a smaller one may succeed."""


class DeviceLost(BackendFailed):
    """The device does not answer until the process has been replaced."""


class NotFinite(BackendFailed):
    """The model's output for an input holds NaN or infinity."""

    metric_label = "not_finite"


class ModelMismatch(BackendFailed):
    """The served model is of another kind than the request needs."""

    metric_label = "model_type"


class Overloaded(ServiceError):
    """Too few permits, or bytes for bodies and answers, are free; nothing was queued.

    Raised by `inference.permits` and `api.http.byte_budget`; `wire.http1.connection` refuses too.
    """

    error_type = "Overloaded"
    status = 429
    metric_label = "overloaded"

    def __init__(self) -> None:
        super().__init__("Model is overloaded")


class DeadlineExceeded(ServiceError):
    """The client's deadline has passed; what was not yet computed is dropped."""

    error_type = "Timeout"
    status = 504
    metric_label = "deadline"

    def __init__(self) -> None:
        super().__init__("the request's deadline has passed")


class Unhealthy(ServiceError):
    """The last run failed and so did a probe, no run succeeded lately, or the service is ending."""

    error_type = "Unhealthy"
    status = 503
    metric_label = "inference"

    def __init__(self) -> None:
        super().__init__("unhealthy")


class UnreadableRequest(Exception):
    """A request whose head or body cannot be read; its message is the whole text answer."""

    status: int


class UnsupportedMediaType(UnreadableRequest):
    """The body is not declared to be JSON, or it is compressed where that cannot be read."""

    status = 415


class PayloadTooLarge(UnreadableRequest):
    """The body is longer than the payload limit."""

    status = 413

    def __init__(self) -> None:
        super().__init__(
            "Failed to buffer the request body: length limit exceeded; --payload-limit raises it"
        )


class BrokenBody(UnreadableRequest):
    """The body breaks off, or is wrongly chunked."""

    status = 400

    def __init__(self, status: int = 400) -> None:
        super().__init__("Failed to buffer the request body: error reading a body from connection")
        self.status = status


class BodyTimeout(UnreadableRequest):
    """The body did not come in time."""

    status = 408

    def __init__(self) -> None:
        super().__init__("Failed to buffer the request body: it came too slowly")


class BadTimeout(UnreadableRequest):
    """A deadline that is not a number of milliseconds."""

    status = 400

    def __init__(self, name: str) -> None:
        super().__init__(f"Invalid header `{name}`: expected a number of milliseconds")


class MalformedBody(UnreadableRequest):
    """The body is not JSON."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__(f"Failed to parse the request body as JSON: {detail}")


class MalformedTensor(UnreadableRequest):
    """The binary data behind the JSON of a body is not what the JSON says."""

    status = 400


class MistypedBody(UnreadableRequest):
    """The body is JSON, but not of the shape that the route declares."""

    status = 422

    def __init__(self, detail: str) -> None:
        super().__init__(f"Failed to deserialize the JSON body into the target type: {detail}")


class ClientGone(Exception):
    """The client closed the connection before its answer was ready."""


class StartupError(Exception):
    """The service cannot start; the message names the cause and the remedy in one line."""
