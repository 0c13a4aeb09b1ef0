"""A headless Chromium, driven over its DevTools protocol through two pipes."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.process import end, start

PATIENCE_SECONDS = 120
LOUD = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
# Chromium reads commands from descriptor 3 and writes to 4.
LAUNCH = 'exec "${@:3}" 3<&"$1" 4>&"$2"'


class Page:
    """One tab, with the messages of its console and its network."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded: set[str] = set()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Log", "Network", "Page", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> Any:
        """The result of one command; events that come before it are noted."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next_message()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def evaluate(self, expression: str) -> Any:
        """The value of a script, awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a page and return once it is loaded; before that, a script may run in the old one."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        while answer["loaderId"] not in self._loaded:
            self._note(self._next_message())

    def wait_for(self, condition: str) -> None:
        """Return once a script is true; it is asked again whenever the page changes."""
        self.evaluate(f"""new Promise(done => {{
            const look = () => {{ if ({condition}) {{ observer.disconnect(); done() }} }}
            const observer = new MutationObserver(look)
            const options = {{ subtree: true, childList: true, attributes: true, characterData: true }}
            observer.observe(document, options)
            look()
        }})""")

    def image(self, *, whole: bool = False) -> bytes:
        """Return what is seen, or the whole page, as a PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def _next_message(self) -> Any:
        while b"\0" not in self._rest:
            came, _, _ = select.select([self._answers], [], [], PATIENCE_SECONDS)
            assert came, f"the browser said nothing for {PATIENCE_SECONDS} s: {self.complaints}"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message: Any) -> None:
        if message["method"] in LOUD:
            self.complaints.append(json.dumps(message["params"]))
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif message["method"] == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            self._loaded.add(message["params"]["loaderId"])


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A tab of a fresh Chromium with its profile in the folder."""
    program = shutil.which("chromium")
    assert program is not None, "install chromium"
    flags = [f"--user-data-dir={folder}", "--headless", "--no-sandbox", "--disable-gpu"]
    flags += [
        "--remote-debugging-pipe",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1280,1600",
    ]
    # No requests to other hosts.
    flags += ["--disable-background-networking", "--disable-component-update", "--no-proxy-server"]
    read_command, write_command = os.pipe()
    read_answer, write_answer = os.pipe()
    process = start(
        ["/bin/bash", "-c", LAUNCH, "bash", str(read_command), str(write_answer), program, *flags],
        pass_fds=[read_command, write_answer],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_command)
    os.close(write_answer)
    try:
        yield Page(write_command, read_answer)
    finally:
        end(process)
        os.close(write_command)
        os.close(read_answer)
