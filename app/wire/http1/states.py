"""States of a connection: what it becomes by what happens; `http1` acts, this decides."""

from collections.abc import Mapping
from enum import Enum, auto


class State(Enum):
    """What a connection of HTTP/1.x is about."""

    __hash__ = object.__hash__  # Enum's own is Python, and was called 22 times for each request

    IDLE = auto()  # nothing of a next request has come
    HEAD = auto()  # a part of a head has come
    BODY = auto()  # a request is worked on while its body comes
    ANSWERING = auto()  # a request is worked on; nothing more of it is read
    GONE = auto()  # the client has ended its side; its request is still worked on
    REST = auto()  # answered; the rest of a small body is read and dropped
    LINGER = auto()  # answered for the last time; what comes is dropped
    HTTP2 = auto()  # it is another protocol's
    CLOSED = auto()


class Event(Enum):
    """What happens to a connection."""

    __hash__ = object.__hash__

    BYTES = auto()  # a part of a head came
    OPENED = auto()  # a head came, and its body is to come
    REQUESTED = auto()  # a head came that has no body
    REFUSED = auto()  # what came is no request, or there is no room: it was answered so
    PREFACE = auto()  # it begins with HTTP/2's
    COMPLETED = auto()  # the last byte of a body came
    BROKEN = auto()  # a body cannot be read on, or is not worth it
    KEPT = auto()  # an answer has left; another request may come
    LAST = auto()  # an answer has left; it said that it is the last
    EOF = auto()  # the client has ended its side
    OVERDUE = auto()  # nothing came for too long
    UNWANTED = auto()  # the server ends, or another connection needs its place
    LOST = auto()  # the connection is no more


_S, _E = State, Event
_WAITING = {
    _E.BYTES: _S.HEAD,
    _E.OPENED: _S.BODY,
    _E.REQUESTED: _S.ANSWERING,
    _E.REFUSED: _S.LINGER,
    _E.PREFACE: _S.HTTP2,
    _E.EOF: _S.CLOSED,
    _E.OVERDUE: _S.CLOSED,
    _E.UNWANTED: _S.CLOSED,
    _E.LOST: _S.CLOSED,
}

# What is not named here cannot happen; `after` says so.
TABLE: Mapping[State, Mapping[Event, State]] = {
    _S.IDLE: _WAITING,
    _S.HEAD: _WAITING,
    _S.BODY: {
        _E.COMPLETED: _S.ANSWERING,
        _E.BROKEN: _S.ANSWERING,
        _E.KEPT: _S.REST,
        _E.LAST: _S.LINGER,
        _E.EOF: _S.GONE,
        _E.LOST: _S.CLOSED,
    },
    _S.ANSWERING: {
        _E.KEPT: _S.IDLE,
        _E.LAST: _S.LINGER,
        _E.EOF: _S.GONE,
        _E.LOST: _S.CLOSED,
    },
    _S.GONE: {
        _E.KEPT: _S.CLOSED,
        _E.LAST: _S.CLOSED,
        _E.LOST: _S.CLOSED,
    },
    _S.REST: {
        _E.COMPLETED: _S.IDLE,
        _E.BROKEN: _S.LINGER,
        _E.EOF: _S.CLOSED,
        _E.OVERDUE: _S.LINGER,
        _E.UNWANTED: _S.LINGER,
        _E.LOST: _S.CLOSED,
    },
    _S.LINGER: {
        _E.EOF: _S.CLOSED,
        _E.OVERDUE: _S.CLOSED,
        _E.UNWANTED: _S.CLOSED,
        _E.LOST: _S.CLOSED,
    },
    _S.HTTP2: {},
    _S.CLOSED: {_E.EOF: _S.CLOSED, _E.LOST: _S.CLOSED},
}

WAITING = frozenset({State.IDLE, State.HEAD})  # for a request: nothing is lost by closing
READING = frozenset({State.BODY, State.REST})  # a body
IDLING = WAITING | {State.LINGER, State.REST}  # another connection may have the place
WORKING = frozenset({State.BODY, State.ANSWERING, State.GONE})  # for a client


def after(state: State, event: Event) -> State:
    """What a connection becomes.

    Raises: ValueError where the event cannot happen in this state, which is a fault of ours.
    """
    following = TABLE[state].get(event)
    if following is None:
        raise ValueError(f"{event.name} cannot happen to a connection in {state.name}")
    return following
