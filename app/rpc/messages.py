"""Messages: the classes of `tei.proto`, and how their bytes are read and written.

`make proto` compiles that file to `tei.protoset`, a set of descriptors, of which the classes are
made here: so no generated code binds the service to one release of protobuf.
"""

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from grpc import StatusCode
from numpy.typing import NDArray

from app.rpc.statuses import CallRefused

PACKAGE = "tei.v1"

_FILES = descriptor_pb2.FileDescriptorSet.FromString(
    Path(__file__).with_name("tei.protoset").read_bytes()
)
POOL = descriptor_pool.DescriptorPool()  # our own: others may know a file of the same name
for _file in _FILES.file:
    POOL.Add(_file)
SERVICES = {
    service.name: POOL.FindServiceByName(f"{PACKAGE}.{service.name}")
    for file in _FILES.file
    for service in file.service
}


def named(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parsed(kind: Any, content: bytes) -> Any:
    """Return the message of a kind that these bytes are.

    Raises: CallRefused with the status that gRPC has for it.
    """
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise CallRefused(
            StatusCode.INTERNAL, f"failed to decode Protobuf message: {error}"
        ) from None


def packed(number: int, values: NDArray[np.float32]) -> bytes:
    """Return the bytes of a field of repeated floats; protobuf takes 30 times as long."""
    content = values.astype("<f4", copy=False).tobytes()
    return before(number, len(content)) + content


def before(number: int, size: int) -> bytes:
    """Return what stands before a field of `size` bytes: its number, and its length as a varint."""
    header = bytearray([number << 3 | 2])
    while size > 0x7F:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header)
