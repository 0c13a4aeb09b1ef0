"""The port: bound before anything else is done, and opened when told."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from app.errors import StartupError
from app.server.listening import Port, taken
from tools.process import free_port


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@contextlib.contextmanager
def opened(port: Port) -> Iterator[None]:
    sockets = [socket.socket(fileno=one) for one in port.open()]
    try:
        yield
    finally:
        for one in sockets:
            one.close()


def test_a_taken_port_refuses_connections_until_it_is_opened() -> None:
    with taken("127.0.0.1", 0) as port:
        assert not connects("127.0.0.1", port.number)
        with opened(port):
            assert connects("127.0.0.1", port.number)


def test_no_other_process_can_take_it() -> None:
    with (
        taken("127.0.0.1", 0) as port,
        pytest.raises(StartupError) as caught,
        taken("127.0.0.1", port.number),
    ):
        raise AssertionError("it is taken twice")
    assert str(caught.value) == (
        f"cannot listen on {port}: Address already in use; name another by --port (PORT)"
    )


def test_connections_that_ended_do_not_keep_it() -> None:
    with taken("127.0.0.1", 0) as port, opened(port):
        client = socket.create_connection(("127.0.0.1", port.number), 5)
    client.close()
    with taken("127.0.0.1", port.number) as again, opened(again):
        assert connects("127.0.0.1", again.number)


def test_a_name_listens_at_each_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert host == "service.example"
        places = [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.2", port))]
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in places]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with taken("service.example", 0) as port, opened(port):
        monkeypatch.undo()
        assert connects("127.0.0.1", port.number)
        assert connects("127.0.0.2", port.number)
        assert not connects("127.0.0.3", port.number)


@pytest.mark.skipif(not socket.has_ipv6, reason="Python was built without IPv6")
def test_an_ipv6_address_is_shown_in_brackets() -> None:
    with taken("::1", 0) as port:
        assert str(port).startswith("[::1]:")


@pytest.mark.parametrize("name", ["no such name", "nowhere.invalid", "127.0.0.1.5", "a" * 70])
def test_a_name_without_an_address_is_an_error_that_names_the_option(name: str) -> None:
    with pytest.raises(StartupError) as caught, taken(name, 0):
        raise AssertionError("it has an address")
    assert str(caught.value).startswith(f"--hostname {name} (environment: HOSTNAME) cannot be")
    assert "\n" not in str(caught.value)


def test_an_address_of_another_machine_names_the_option() -> None:
    with pytest.raises(StartupError) as caught, taken("203.0.113.1", free_port()):
        raise AssertionError("it is an address of this machine")
    assert "Cannot assign requested address; name another by --hostname" in str(caught.value)


def test_another_server_may_open_it_itself() -> None:
    with taken("127.0.0.1", 0, "--other") as port:
        assert port.freed() == [f"127.0.0.1:{port.number}"]
        with socket.create_server(("127.0.0.1", port.number)):
            assert connects("127.0.0.1", port.number)


def test_the_option_that_names_it_is_said() -> None:
    with (
        taken("127.0.0.1", 0) as port,
        pytest.raises(StartupError, match=r"; name another by --other$"),
        taken("127.0.0.1", port.number, "--other"),
    ):
        raise AssertionError("it is taken twice")
