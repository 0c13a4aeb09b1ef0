"""States of a connection, and which follows which event; decided here, acted on by `connection`."""

from collections.abc import Mapping
from enum import Enum, auto


class State(Enum):
    """The activity of an HTTP/1.x connection."""

    __hash__ = object.__hash__  # Enum's own is in Python, and was called 22 times for each request

    IDLE = auto()  # no byte of a next request has come
    HEAD = auto()  # a part of a head has come
    BODY = auto()  # a request is in progress, and its body still comes
    ANSWERING = auto()  # a request is in progress; nothing more of it is read
    GONE = auto()  # the client has ended its side; its request is still in progress
    REST = auto()  # answered; the rest of a small body is read and dropped
    LINGER = auto()  # the last answer was sent; incoming bytes are dropped
    HTTP2 = auto()  # another protocol has the connection
    CLOSED = auto()


class Event(Enum):
    """A change that a connection goes through."""

    __hash__ = object.__hash__

    BYTES = auto()  # a part of a head came
    OPENED = auto()  # a head came, and some of its body is to follow
    REQUESTED = auto()  # a head came, and with it all of its body, if it has one
    REFUSED = auto()  # a refusal was sent: the bytes were no request, or there was no room
    PREFACE = auto()  # HTTP/2's preface came
    COMPLETED = auto()  # the last byte of a body came
    BROKEN = auto()  # a body cannot be read on, or is not worth it
    KEPT = auto()  # an answer was sent; another request may come
    LAST = auto()  # an answer was sent, and it closes the connection
    EOF = auto()  # the client has ended its side
    OVERDUE = auto()  # nothing came for too long
    UNWANTED = auto()  # the server ends, or another connection needs its place
    LOST = auto()  # the connection is gone


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

# Events that are missing here cannot happen; `after` raises.
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
READING = frozenset({State.BODY, State.REST})  # reading a body
IDLING = WAITING | {State.LINGER, State.REST}  # the place may go to another connection
WORKING = frozenset({State.BODY, State.ANSWERING, State.GONE})  # on a request


def after(state: State, event: Event) -> State:
    """Return the state after an event.

    Raises: ValueError if the event cannot happen in this state, which would be a bug.
    """
    following = TABLE[state].get(event)
    if following is None:
        raise ValueError(f"{event.name} cannot happen to a connection in {state.name}")
    return following
