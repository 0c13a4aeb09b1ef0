"""The CPU image, built from the Containerfile and run by Podman as a careful operator would."""

import http.client
import json
import re
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.source import default_model
from tests.container.podman import HARDENED, START_SECONDS, Container, lab, podman, running
from tests.support import hub as hubs
from tests.support.snapshot import write_cache, write_folder
from tests.support.tiny_checkpoints import write_bert
from tools import tiny
from tools.attacks.attackers import ATTACKS, attacked
from tools.attacks.bystander import Bystander
from tools.process import free_port

pytestmark = pytest.mark.container

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
IN_FLIGHT = 200
ATTACK_SECONDS = 6  # of each
ASK_INSIDE = """
from urllib.request import urlopen
while True:
    try:
        print(urlopen("http://127.0.0.1:8000/info").status)
        break
    except OSError:  # not ready yet
        pass
"""
# As many tokens as the model takes, so that the requests cannot all be answered before the signal.
LONG_TEXT = "the quick brown fox jumps over the lazy dog " * 30


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """One container for the tests that leave it running."""
    with running(image) as found:
        yield found


def run_python(image: str, program: str) -> str:
    """What a Python program prints in a fresh, writable container of the image."""
    return podman("run", "--rm", "--entrypoint", "python", image, "-c", program)


def test_it_embeds_with_the_model_inside(container: Container) -> None:
    [vector] = container.post("/embed", {"inputs": "What is deep learning?"})
    assert len(vector) == 384
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)


def test_the_health_check_of_the_image_succeeds(container: Container) -> None:
    podman("healthcheck", "run", container.name)


def test_it_runs_as_a_plain_user_without_capabilities(container: Container) -> None:
    status = podman("exec", container.name, "cat", "/proc/1/status").splitlines()
    fields = dict(line.split(":", 1) for line in status)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0


def test_the_image_names_a_plain_user(image: str) -> None:
    assert podman("image", "inspect", "--format", "{{.Config.User}}", image) == "10001:0"


@pytest.mark.parametrize("module", ["torch", "transformers", "optimum", "pip"])
def test_what_only_the_export_needs_is_left_out(image: str, module: str) -> None:
    program = f"import importlib.util as u; print(u.find_spec({module!r}))"
    assert run_python(image, program) == "None"


def test_the_user_can_write_nothing_of_the_service(image: str) -> None:
    program = (
        "import os; print([os.path.join(folder, name)"
        " for top in ('/app', '/opt/venv') for folder, names, files in os.walk(top)"
        " for name in [*names, *files, '.'] if os.access(os.path.join(folder, name), os.W_OK)])"
    )
    assert run_python(image, program) == "[]"


def test_only_models_lie_in_the_models_folder(image: str) -> None:
    program = "import os; print(os.listdir('/app/models'))"
    assert run_python(image, program) == "['sentence-transformers--all-MiniLM-L6-v2']"


def test_flags_follow_the_image(image: str) -> None:
    flags = ("--model-id", DEFAULT_MODEL, "--port", "9000")
    with (
        running(image, *flags, inside=9000) as found,
        urllib.request.urlopen(found.url + "/info", timeout=5) as answer,
    ):
        assert json.load(answer)["model_id"] == DEFAULT_MODEL


def test_an_idle_service_stops_before_it_would_be_killed(image: str) -> None:
    with running(image) as found:
        podman("stop", "--time", "5", found.name)
        assert found.exit_code() == 0


def test_requests_in_flight_are_answered_after_the_signal(image: str) -> None:
    body = json.dumps({"inputs": LONG_TEXT})
    # On a busy machine they take longer than the 25 seconds that requests have by default.
    with running(image, "--shutdown-seconds", "280") as found:
        connections = [
            http.client.HTTPConnection("127.0.0.1", found.port, timeout=300)
            for _ in range(IN_FLIGHT)
        ]
        for connection in connections:
            connection.request("POST", "/embed", body, {"content-type": "application/json"})
        podman("kill", "--signal", "TERM", found.name)
        answered, _, _ = select.select([one.sock for one in connections], [], [], 0)
        assert len(answered) < IN_FLIGHT
        assert [one.getresponse().status for one in connections] == [200] * IN_FLIGHT
        for connection in connections:
            connection.close()
        assert found.exit_code() == 0


def test_half_a_gigabyte_is_enough_for_any_user(image: str) -> None:
    """Also for requests of every size that the defaults allow, over several connections."""
    options = (*HARDENED, "--user=12345", "--memory=512m", "--memory-swap=512m")
    bodies = [
        "a short query",
        LONG_TEXT,
        [LONG_TEXT] * 32,
        [LONG_TEXT[: 40 * n] for n in range(1, 33)],
    ]
    with running(image, options=options) as found, ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda inputs: found.post("/embed", {"inputs": inputs}), bodies * 8)
        assert [len(vectors) for vectors in answers] == [1, 1, 32, 32] * 8
        status = podman("exec", found.name, "cat", "/proc/1/status")
        assert "Uid:\t12345" in status
        print(re.findall("VmHWM.*", status))  # noqa: T201  # a figure to keep
        podman("stop", "--time", "10", found.name)
        assert found.exit_code() == 0  # 137 where the limit ended it


def test_half_a_gigabyte_outlasts_all_attacks(image: str) -> None:
    """Each for some seconds; a client of the usual kind gets its answers beside them."""
    options = ("--memory=512m", "--memory-swap=512m")
    with running(image, options=options) as found:
        for place, attack in enumerate(ATTACKS):
            bystander = Bystander(found.port)
            with bystander.looking(), attacked(found.port, [place]):
                time.sleep(ATTACK_SECONDS)
            assert not bystander.faults(), attack.name
        podman("stop", "--time", "30", found.name)
        assert found.exit_code() == 0  # 137 where the limit ended it


def test_no_network_is_needed(image: str) -> None:
    name = podman("run", "--detach", *HARDENED, "--network=none", image)
    try:
        assert podman("exec", name, "python", "-c", ASK_INSIDE) == "200"
    finally:
        podman("rm", "--force", "--time", "0", name)


# Other models than the one inside: a mounted Hub cache, or the Hub.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder to mount, which users other than root may look into, as is usual."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's checkpoint as the Hub has it, with the ONNX graph that Optimum makes."""
    checkpoint = default_model.installed()
    assert checkpoint is not None
    folder = tmp_path_factory.mktemp("snapshot") / "model"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.bin", "*.safetensors"))
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "onnx"]
    command += ["--model", str(checkpoint), "--task", "feature-extraction", str(folder / "onnx")]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def embed(container: str, text: str) -> Any:
    """The vector of a text, asked from inside a container that has no network."""
    program = f"""
import json, urllib.request
body = json.dumps({{"inputs": {text!r}}}).encode()
request = urllib.request.Request(
    "http://127.0.0.1:8000/embed", body, {{"content-type": "application/json"}}
)
print(urllib.request.urlopen(request).read().decode())
"""
    return json.loads(podman("exec", container, "python", "-c", program))[0]


def wait_healthy_inside(container: str) -> None:
    end = time.monotonic() + START_SECONDS
    while podman("inspect", "--format", "{{.State.Running}}", container) == "true":
        check = ["podman", "exec", container, "python", "-m", "app.healthcheck"]
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return
        if time.monotonic() > end:
            break
    pytest.fail(f"not healthy: {podman('logs', container)}")


@pytest.mark.parametrize("layout", ["hub", ""], ids=["HF_HOME mounted", "its hub mounted"])
def test_a_model_of_a_mounted_cache_is_served_without_a_network(
    image: str, container: Container, snapshot: Path, data: Path, layout: str
) -> None:
    write_cache(data / layout, snapshot, model="org/mini")
    mount = f"{data}:/data:ro"
    flags = ("--model-id", "org/mini", "--port", "8000")
    name = podman("run", "--detach", "--network", "none", "--volume", mount, image, *flags)
    try:
        wait_healthy_inside(name)
        vector = embed(name, "What is deep learning?")
        log = podman("logs", name)
    finally:
        podman("rm", "--force", "--time", "0", name)
    [inside] = container.post("/embed", {"inputs": "What is deep learning?"})
    assert np.dot(vector, inside) == pytest.approx(1, abs=1e-5)
    assert f"Preparing /data/{layout}".rstrip("/") in log
    assert "name a folder to keep it in with --cache-dir" in log


def test_the_model_inside_is_the_one_used_where_it_is_asked_for(
    image: str, snapshot: Path, data: Path
) -> None:
    write_cache(data / "hub", snapshot, model=DEFAULT_MODEL)
    flags = ("--model-id", DEFAULT_MODEL, "--port", "8000")
    options = (*HARDENED, "--volume", f"{data}:/data:ro")
    with running(image, *flags, options=options) as found:
        assert len(found.post("/embed", {"inputs": "a"})[0]) == 384
        assert "Preparing" not in podman("logs", found.name)


def test_a_hardened_container_prepares_in_a_tmpfs_or_a_volume(
    image: str, data: Path, tmp_path: Path
) -> None:
    write_cache(data, write_folder(tmp_path / "small"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(0o777)
    options = (*HARDENED, "--volume", f"{data}:/data:ro")
    kept = ("--volume", f"{tmp_path / 'kept'}:/cache", "--env", "CACHE_DIR=/cache")
    temporary = ("--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=64m", "--shm-size", "64m")  # noqa: S108  # of the container
    for more in (temporary, kept, kept):
        with running(image, "--model-id", "tests/small", options=(*options, *more)) as found:
            assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS
            log = podman("logs", found.name)
    assert "was prepared before: /cache/" in log


def test_a_model_of_the_hub_is_downloaded_by_a_user_without_a_home(
    image: str, tmp_path: Path
) -> None:
    port = str(free_port())
    with hubs.serve({"org/small": write_folder(tmp_path / "small")}) as hub:
        options = ("--network", "host", "--env", f"HF_ENDPOINT={hub.url}", "--user", "10001")
        flags = ("--model-id", "org/small", "--hostname", "127.0.0.1", "--port", port)
        name = podman("run", "--detach", *options, image, *flags)
        try:
            found = Container(name, int(port))
            found.wait_healthy()
            assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS
            assert "/data cannot be written: downloading to /tmp/" in podman("logs", name)
        finally:
            podman("rm", "--force", "--time", "0", name)


def test_a_revision_is_that_of_the_model_inside_only(data: Path, tmp_path: Path) -> None:
    image = "localhost/embedding-service:test-revision"
    with hubs.serve({"org/small": write_bert(tmp_path / "checkpoint")}) as hub:
        given = {"MODEL_ID": "org/small", "REVISION": "v1", "HF_ENDPOINT": hub.url}
        arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
        built = lab("build", "--network=host", *arguments, "-t", image, ".", check=False)
    assert built.returncode == 0, (built.stdout + built.stderr)[-4000:]
    for flags in ((), ("--revision", "v1")):
        with running(image, *flags) as found:
            assert len(found.post("/embed", {"inputs": "the rain"})[0]) == 32
    write_cache(data, write_folder(tmp_path / "other"))
    options = (*HARDENED, "--volume", f"{data}:/data:ro", "--tmpfs", "/tmp")  # noqa: S108  # of the container
    with running(image, "--model-id", "tests/small", options=options) as found:
        assert len(found.post("/embed", {"inputs": "the cat"})[0]) == tiny.DIMENSIONS


def test_a_model_that_cannot_be_had_is_one_line(image: str) -> None:
    name = podman("run", "--detach", "--network", "none", image, "--model-id", "org/none")
    try:
        assert int(podman("wait", name)) == 1
        done = subprocess.run(["podman", "logs", name], check=True, text=True, capture_output=True)
        [line] = [one for one in (done.stdout + done.stderr).splitlines() if "Error: " in one]
        assert "org/none is not in the local cache (/tmp/" in line
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        podman("rm", "--force", "--time", "0", name)
