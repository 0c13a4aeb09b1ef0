"""Two replicas behind a proxy are restarted one after the other, under load: nothing is lost.

A pooled connection may be closed while a request is on its way to it. HAProxy knows by itself when
it may ask again; nginx has to be told that asking twice for an embedding does no harm.
"""

import contextlib
import http.client
import json
import os
import pwd
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process import Server, free_port

pytestmark = pytest.mark.slow

CLIENTS = 8
ROUNDS = 2
BODY = json.dumps({"inputs": ["the cat sat on the mat", "dog"]})

HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:{port}
  stats enable
  stats uri /stats
  default_backend replicas
backend replicas
  balance leastconn
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""
NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{
    server 127.0.0.1:{one} max_fails=0;
    server 127.0.0.1:{two} max_fails=0;
    keepalive 16;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout non_idempotent;
    }}
  }}
}}
"""


class Load:
    """Clients that ask without a pause; what they were answered, or how they failed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, answers: int = 200) -> None:
        """Return when so many more requests have been answered or have failed."""
        goal = self.answers.total() + answers
        end = time.monotonic() + 60
        while self.answers.total() < goal:
            assert time.monotonic() < end, f"no answers any more: {self.answers}"
            time.sleep(0.01)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                try:
                    connection.request("POST", "/embed", BODY, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    content = answer.read()
                    right = answer.status != 200 or len(json.loads(content)) == 2
                    self.answers[str(answer.status) if right else "wrong"] += 1
                except (OSError, http.client.HTTPException) as error:
                    self.answers[repr(error)] += 1
                    connection.close()


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def get(port: int, path: str) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def await_steady(claim: Callable[[], bool]) -> None:
    """Return when a claim has held for a second, over several of HAProxy's checks."""
    end, since = time.monotonic() + 60, time.monotonic()
    while time.monotonic() < since + 1:
        assert time.monotonic() < end
        if not claim():
            since = time.monotonic()
        time.sleep(0.05)


def both_up(port: int) -> bool:
    """Whether HAProxy sees both replicas."""
    try:
        rows = [line.split(",") for line in get(port, "/stats;csv").splitlines()]
    except OSError:
        return False
    return [row[17] for row in rows if row[0] == "replicas" and row[1] in {"one", "two"}] == [
        "UP",
        "UP",
    ]


def listens(port: int) -> bool:
    try:
        return get(port, "/livez") == ""
    except OSError:
        return False


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
def test_a_rolling_restart_loses_no_request(proxy: str, tiny_model: Path, tmp_path: Path) -> None:
    program = shutil.which(proxy, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None, f"install {proxy}"
    arguments = ("--model-id", str(tiny_model), "--drain-seconds", "1", "--log-level", "error")
    replicas = [Server(*arguments), Server(*arguments)]
    port = free_port()
    one, two = (replica.port for replica in replicas)
    template = HAPROXY if proxy == "haproxy" else NGINX
    settings = tmp_path / "proxy.conf"
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    settings.write_text(template.format(port=port, one=one, two=two, folder=tmp_path, user=user))
    flags = ["-db", "-f", str(settings)] if proxy == "haproxy" else ["-c", str(settings)]
    ready = both_up if proxy == "haproxy" else listens
    try:
        for replica in replicas:
            replica.wait_ready()
        with running(program, *flags):
            await_steady(lambda: ready(port))
            with Load(port) as load:
                load.await_more()
                for place in list(range(2)) * ROUNDS:
                    replicas[place].signal()
                    output = replicas[place].output(60)
                    assert replicas[place].process.returncode == 0, output
                    load.await_more()
                    replicas[place] = Server(*arguments, port=replicas[place].port)
                    replicas[place].wait_ready()
                    await_steady(lambda: ready(port))
                    load.await_more()
            assert set(load.answers) == {"200"}, load.answers
    finally:
        for replica in replicas:
            replica.stop()
    print(f"{proxy}: {load.answers.total()} requests, none lost")  # noqa: T201  # a figure to keep
