"""Attackers: each repeats one request from several clients until its process is ended."""

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tools.process import ROOT, end, start, variables

PATIENCE = 600.0  # timeout of an answer, in seconds
NARROW = 4096  # receive buffer, in bytes
# Words of a hundred letters, the slowest for WordPiece, up to the longest text that is taken.
LONG = " ".join(["q" * 100] * 640)[:64_000]
TWO_MEGABYTES = json.dumps({"inputs": [LONG] * 31}).encode()
FULL = json.dumps(
    {"inputs": [f"{place} " + "the cat sat on the mat " * 60 for place in range(32)]}
).encode()  # of tokens
IDS = b"[" + b",".join([b"1037"] * 390_000) + b"]"


Act = Callable[[int], None]  # attacks a port once


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack: what each client does, and how many clients run at once."""

    name: str
    clients: int
    act: Act

    def repeat(self, port: int) -> None:
        """Attack until the process ends."""
        while True:
            # A failed request does not stop an attacker.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.act(port)


def asks(path: str, body: bytes) -> Act:
    """Send a request and read the whole answer."""

    def act(port: int) -> None:
        with _connected(port) as connection:
            connection.sendall(_post(path, body))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            while answer.read(1 << 20):
                pass

    return act


def reads_nothing(path: str, body: bytes) -> Act:
    """Send a request and read nothing, for longer than the stall timeout."""

    def act(port: int) -> None:
        with _connected(port, NARROW) as connection:
            connection.sendall(_post(path, body))
            time.sleep(40)

    return act


def reads_by_drops(path: str, body: bytes) -> Act:
    """Send a request and read a byte of the answer each second."""

    def act(port: int) -> None:
        with _connected(port, NARROW) as connection:
            connection.sendall(_post(path, body))
            while connection.recv(1):
                time.sleep(1)

    return act


@contextlib.contextmanager
def attacked(port: int, places: Sequence[int]) -> Iterator[None]:
    """Attack a port while the block runs, from a process of its own."""
    command = [sys.executable, "-m", "tools.attacks.attackers", str(port), *map(str, places)]
    process = start(command, cwd=ROOT, env=variables())
    try:
        yield
    finally:
        assert process.poll() is None, "the attack ended by itself"
        end(process)


def main() -> None:
    """`python -m tools.attacks.attackers PORT PLACE…`: attack until the process is ended."""
    port, *places = map(int, sys.argv[1:])
    for attack in (ATTACKS[place] for place in places):
        for _ in range(attack.clients):
            threading.Thread(target=attack.repeat, args=(port,)).start()


@contextlib.contextmanager
def _connected(port: int, receives: int | None = None) -> Iterator[socket.socket]:
    """Return a connection with a small receive buffer."""
    with socket.socket() as connection:
        if receives is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", port))
        yield connection


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


ATTACKS = [
    Attack("two megabytes to `/tokenize`", 32, asks("/tokenize", TWO_MEGABYTES)),
    Attack("the same, and nothing read", 16, reads_nothing("/tokenize", TWO_MEGABYTES)),
    Attack("two megabytes to `/embed`", 8, asks("/embed", TWO_MEGABYTES)),
    Attack("`/embed_all` of full length, nothing read", 12, reads_nothing("/embed_all", FULL)),
    Attack("`/embed` of 32 texts, read by drops", 12, reads_by_drops("/embed", FULL)),
    Attack("one list of 390,000 ids to `/embed`", 32, asks("/embed", b'{"inputs":[%b]}' % IDS)),
    Attack("the same to `/decode`", 32, asks("/decode", b'{"ids":%b}' % IDS)),
    Attack(
        "`/vertex` of 80,000 empty instances",
        8,
        asks("/vertex", b'{"instances":[%b]}' % b",".join([b'{"inputs":[]}'] * 80_000)),
    ),
    Attack(
        "two megabytes of arrays that are refused",
        16,
        asks("/embed", b'{"inputs":[%b]}' % b",".join([b"[[[[[]]]]]"] * 180_000)),
    ),
    Attack(
        "a prompt's name of 1.8 MB",
        8,
        asks("/embed", json.dumps({"inputs": "a", "prompt_name": "p" * 1_800_000}).encode()),
    ),
]

if __name__ == "__main__":
    main()
