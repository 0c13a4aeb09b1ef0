"""Listening: the port is taken before the model is loaded, and opened when it is warm.

A socket that is bound and does not listen refuses connections, and keeps its port from others.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from app.errors import StartupError

HTTP_PORT = "--port (PORT)"
BACKLOG = 2048  # connections that the kernel holds until they are accepted
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_IN_USE = {errno.EADDRINUSE, errno.EACCES}


class Port:
    """A port of one address, or of every address of a name."""

    def __init__(self, host: str, sockets: Sequence[socket.socket], option: str) -> None:
        self._host = host
        self._sockets = sockets
        self._option = option
        self.number: int = sockets[0].getsockname()[1]

    def __str__(self) -> str:
        return _shown(self._host, self.number)

    def open(self) -> list[int]:
        """Start listening; return the sockets' file descriptors, which the caller then owns.

        Raises: StartupError.
        """
        try:
            for one in self._sockets:
                # Connections that end here must not keep the next server from the port for a
                # minute.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.listen(BACKLOG)
        except OSError as error:
            raise _refused(str(self), error, self._option) from None
        return [one.detach() for one in self._sockets]

    def freed(self) -> list[str]:
        """Return the addresses, which are free for a server that opens them itself."""
        addresses = [_shown(*one.getsockname()[:2]) for one in self._sockets]
        for one in self._sockets:
            one.close()
        return addresses


@contextmanager
def taken(host: str, port: int, option: str = HTTP_PORT) -> Iterator[Port]:
    """Yield the port that an option names, kept from others inside the block; 0 is any free one.

    Raises: StartupError naming the option if the name has no address or the port is not available.
    """
    addresses = _resolve(host, port)
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        fault: OSError | None = None
        for family, address in addresses:
            one = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if sockets:
                port = sockets[0].getsockname()[1]
            try:
                _bind(one, (address[0], port, *address[2:]), alone=len(addresses) == 1)
            except OSError as error:
                fault = error
                if error.errno not in _ABSENT:  # one of several addresses of a name may be absent
                    raise _refused(_shown(host, port), error, option) from None
            else:
                sockets.append(one)
        if not sockets:
            assert fault is not None
            raise _refused(_shown(host, port), fault, option)
        yield Port(host, sockets, option)


def resolved(host: str) -> list[str]:
    """Return the addresses of a name, or the address itself, also one for every interface.

    Raises: StartupError naming the option.
    """
    return [address[0] for _, address in _resolve(host, 0)]


def _resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartupError(
            f"--hostname {host} (environment: HOSTNAME) cannot be resolved ({reason}): give an "
            "address of this machine, or 0.0.0.0 for all of them"
        ) from None
    return list(dict.fromkeys((int(family), address) for family, *_, address in found))


def _bind(one: socket.socket, address: tuple[Any, ...], *, alone: bool) -> None:
    if one.family == socket.AF_INET6 and not alone:  # the other addresses have sockets of their own
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Connections that have ended may still hold it: then it can be bound, but not be kept from
        # others until it is opened.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refused(address: str, error: OSError, option: str) -> StartupError:
    if error.errno not in _IN_USE:
        option = "--hostname (HOSTNAME)"
    reason = error.strerror or error
    return StartupError(f"cannot listen on {address}: {reason}; name another by {option}")
