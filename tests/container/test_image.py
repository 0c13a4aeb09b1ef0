"""The CPU image, built from the Containerfile and run by Podman as a careful operator would."""

import http.client
import json
import re
import select
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.container.podman import HARDENED, Container, podman, running
from tools import client
from tools.attacks.attackers import ATTACKS, attacked
from tools.attacks.bystander import Bystander

pytestmark = pytest.mark.container
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
IN_FLIGHT = 200
ASK_INSIDE = """
from urllib.request import urlopen
while True:
    try:
        print(urlopen("http://127.0.0.1:8000/info").status)
        break
    except OSError:  # not ready yet
        pass
"""
ATTACK_SECONDS = 6  # of each
# As long as the model takes, so that the requests cannot all be answered before the signal.
LONG_TEXT = "the quick brown fox jumps over the lazy dog " * 30


def run_python(image: str, program: str) -> str:
    """Return a Python program's output in a fresh, writable container of the image."""
    return podman("run", "--rm", "--entrypoint", "python", image, "-c", program)


def test_it_embeds_with_the_model_inside(container: Container) -> None:
    [vector] = container.post("/embed", {"inputs": "What is deep learning?"})
    assert len(vector) == 384
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)


def test_its_python_refuses_what_is_no_text(container: Container) -> None:
    """Early versions of Python 3.11 lose the place in regular expressions."""
    reply = client.post(container.port, "/embed", {"inputs": "\ud800"})
    assert reply.status == 400
    assert "unexpected end of hex escape" in reply.text


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
def test_packages_of_the_export_are_left_out(image: str, module: str) -> None:
    program = f"import importlib.util as u; print(u.find_spec({module!r}))"
    assert run_python(image, program) == "None"


def test_the_operators_of_int16_are_inside_and_their_compiler_is_not(
    image: str, container: Container
) -> None:
    assert run_python(image, "from app.operators import library as l; print(l.fault())") == "None"
    assert run_python(image, "import shutil; print(shutil.which('cc'))") == "None"
    info = client.get(container.port, "/info").json
    assert info["model_dtype"] in {"int16", "bfloat16"}


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
    with running(image, *flags, inside=9000) as found:
        assert client.get(found.port, "/info").json["model_id"] == DEFAULT_MODEL


def test_an_idle_service_stops_before_it_would_be_killed(image: str) -> None:
    with running(image) as found:
        podman("stop", "--time", "5", found.name)
        assert found.exit_code() == 0


def test_requests_in_flight_are_answered_after_the_signal(image: str) -> None:
    body = json.dumps({"inputs": LONG_TEXT})
    # On a busy machine they take longer than the default deadline of 25 seconds.
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
        assert found.exit_code() == 0  # 137 if it ran out of memory


def test_half_a_gigabyte_survives_all_attacks(image: str) -> None:
    """Each attack lasts some seconds; an ordinary client gets its answers beside them."""
    options = ("--memory=512m", "--memory-swap=512m")
    with running(image, options=options) as found:
        for place, attack in enumerate(ATTACKS):
            bystander = Bystander(found.port)
            with bystander.looking(), attacked(found.port, [place]):
                time.sleep(ATTACK_SECONDS)
            assert not bystander.faults(), attack.name
        podman("stop", "--time", "30", found.name)
        assert found.exit_code() == 0  # 137 if it ran out of memory


def test_no_network_is_needed(image: str) -> None:
    name = podman("run", "--detach", *HARDENED, "--network=none", image)
    try:
        assert podman("exec", name, "python", "-c", ASK_INSIDE) == "200"
    finally:
        podman("rm", "--force", "--time", "0", name)
