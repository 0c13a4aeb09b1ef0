"""About: the call that describes the served model."""

from typing import Any

from app.api.http.info import info
from app.api.shapes.fields import MAX_U32
from app.model.names import Task
from app.rpc.calls.call import Answer, Message
from app.rpc.messages import named, parsed

_REQUEST, _RESPONSE = named("InfoRequest"), named("InfoResponse")

EMBEDDING, CLASSIFIER, RERANKER = range(3)  # ModelType


def kind_of(task: Task) -> int:
    """Return the type of a model in gRPC's terms."""
    return {"classifier": CLASSIFIER, "reranker": RERANKER}.get(task, EMBEDDING)


async def about(message: Message) -> Answer:
    """Answer with what `/info` says, as far as the message has a field for it."""
    parsed(_REQUEST, message.content)
    model = message.service.model
    found = info(model) | {"model_type": kind_of(model.engine.task)}
    values = {field.name: _fitting(found[field.name]) for field in _RESPONSE.DESCRIPTOR.fields}
    return Answer(_RESPONSE(**values).SerializeToString(), [])


def _fitting(value: Any) -> Any:
    return min(value, MAX_U32) if isinstance(value, int) else value
