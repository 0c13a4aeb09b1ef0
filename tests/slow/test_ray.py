"""`deploy/ray` on a cluster of this machine: a dataset through actors, and the service behind Serve."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray

from export.source.default_model import DEFAULT_MODEL_ID
from tools import client, process, texts
from tools.process import ROOT, Server

pytestmark = pytest.mark.slow

RAY = ROOT / ".venv-ray" / "bin"
RAY_FOLDER = ROOT / "deploy" / "ray"
PASSAGES = 20_000
EMPTY = (7, 12_345)  # rows without a vector
# Digits that do not depend on what else is in a batch.
MODEL = ["--model-id", DEFAULT_MODEL_ID, "--provider", "cpu", "--dtype", "float32"]
COMPARED = 4  # every fourth passage is sent to the server as well


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The variables of a cluster's processes, with the folder of their files."""
    # Not pytest's own folder: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield process.variables(
            {
                "HOME": folder,
                "PYTHONPATH": f"{ROOT}:{RAY_FOLDER}",
                "RAY_TMPDIR": folder,
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_AUTH_MODE": "disabled",
                "RAY_worker_niceness": "0",  # like all other processes here
                # On a busy machine its parts find each other later than its default timeouts.
                "RAY_agent_register_timeout_ms": "300000",
                "RAY_worker_register_timeout_seconds": "300",
                "RAY_raylet_start_wait_time_s": "300",
            }
        )


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A cluster of one node; yields the variables that its clients need."""
    port = process.free_port()
    command: list[str | Path] = [
        RAY / "ray",
        "start",
        "--head",
        "--block",
        "--include-dashboard",
        "false",
    ]
    command += ["--port", str(port), "--num-cpus", "4", "--node-ip-address", "127.0.0.1"]
    command += ["--object-store-memory", str(200 << 20), "--disable-usage-stats"]
    with process.all_ended():
        head = process.start(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        process.wait_open(port, head)
        found = {**environment, "RAY_ADDRESS": f"127.0.0.1:{port}"}
        try:
            process.eventually(partial(_gives_work, found), 600, "it gives no work", pause=1)
            yield found
        finally:
            head.terminate()  # it ends what it has started
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.communicate(timeout=120)
            for pid in _running(environment["HOME"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    process.eventually(lambda: not _running(environment["HOME"]), 60, "parts of it are left")


def _gives_work(environment: dict[str, str]) -> bool:
    """Return whether a program can connect to the cluster and have a task done."""
    source = "import ray; ray.init(address='auto'); ray.get(ray.remote(lambda: 1).remote())"
    command: list[str | Path] = [RAY / "python", "-c", source]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(*MODEL, "--max-client-batch-size", "1000") as running:
        running.wait_ready()
        yield running


def test_a_dataset_through_two_actors_of_which_one_is_killed(
    cluster: dict[str, str], server: Server, tmp_path: Path
) -> None:
    passages: list[str] = texts.passages(PASSAGES, 8)
    for row in EMPTY:
        passages[row] = ""
    source, target, actors = tmp_path / "in.parquet", tmp_path / "out", tmp_path / "actors"
    actors.mkdir()
    table = pa.table({"id": range(PASSAGES), "text": passages})
    pq.write_table(table, source, row_group_size=PASSAGES // 80)
    driver = process.start(
        [RAY / "python", ROOT / "tests" / "support" / "ray_driver.py", source, target, actors,
         ROOT / "models" / DEFAULT_MODEL_ID.replace("/", "--")],
        env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    process.eventually(partial(_are_at_work, actors, driver), 900)
    assert driver.poll() is None, driver.communicate()[0]
    first, second = _pids(actors)
    os.kill(first, signal.SIGKILL)
    said, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, said
    assert _pids(actors) - {first, second}, "no other took its place"

    found = pq.read_table(target).sort_by("id")
    assert found.column("id").to_pylist() == list(range(PASSAGES))
    reasons = found.column("error").to_pylist()
    assert [row for row, reason in enumerate(reasons) if reason is not None] == list(EMPTY)
    assert all("empty" in reasons[row] for row in EMPTY)
    assert [row for row, one in enumerate(found.column("vector").is_null()) if one.as_py()] == list(
        EMPTY
    )
    kept = [text for text in passages if text][::COMPARED]
    vectors = np.stack(found.column("vector").drop_null().to_numpy())
    assert len(vectors) == PASSAGES - len(EMPTY)
    assert np.allclose(vectors[::COMPARED], _served(server, kept), atol=1e-5)


def _are_at_work(actors: Path, driver: "subprocess.Popen[str]") -> bool:
    """Return whether two actors have done some batches each, or the driver has ended."""
    batches = Counter(one.stem for one in actors.iterdir())
    return driver.poll() is not None or (len(batches) == 2 and min(batches.values()) > 3)


def _pids(actors: Path) -> set[int]:
    return {int(one.stem) for one in actors.iterdir()}


def _served(server: Server, passages: list[str]) -> NDArray[np.float32]:
    """Return the server's vectors, (N, D)."""
    parts = []
    for start in range(0, len(passages), 1000):
        answer = server.post("/embed", {"inputs": passages[start : start + 1000]})
        assert answer.status == 200, answer.text
        parts.append(np.array(answer.json, np.float32))
    return np.concatenate(parts)


def test_the_service_behind_serve(cluster: dict[str, str], server: Server, tmp_path: Path) -> None:
    port = process.free_port()
    config = yaml.safe_load((RAY_FOLDER / "serve.yaml").read_text())
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    [application] = config["applications"]
    application["args"] |= {
        "models_dir": str(ROOT / "models"), "provider": "cpu", "dtype": "float32",
    }  # fmt: skip
    [deployment] = application["deployments"]
    deployment["ray_actor_options"] = {"num_cpus": 1}
    deployment["autoscaling_config"] |= {
        "max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1,
        "metrics_interval_s": 1, "look_back_period_s": 2,
    }  # fmt: skip
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    with (tmp_path / "log").open("w") as log:
        serving = process.start([RAY / "serve", "run", path], env=cluster, stdout=log, stderr=log)

    def is_ready() -> bool:
        assert serving.poll() is None, (tmp_path / "log").read_text()
        try:
            return client.get(port, "/readyz").status == 200
        except OSError:
            return False

    process.eventually(is_ready, 300, "it does not answer")
    _require_same_answers(port, server)
    _require_a_second_replica(port, cluster["HOME"])
    serving.terminate()
    serving.wait(120)


def _require_same_answers(port: int, server: Server) -> None:
    inputs = texts.passages(32, 30)
    answers = [one.post("/embed", {"inputs": inputs}) for one in (server,)]
    answers.append(client.post(port, "/embed", {"inputs": inputs}))
    ours, served = (np.array(one.json, np.float32) for one in answers)
    assert np.allclose(ours, served, atol=1e-5)
    fingerprints = {one.headers["x-model-fingerprint"] for one in answers}
    assert len(fingerprints) == 1
    for route, body in (
        ("/v1/embeddings", {"input": inputs[0], "model": "any"}),
        ("/tokenize", {"inputs": inputs}),
        ("/embed", {"inputs": ""}),
        ("/embed", b'{"inputs": '),
        ("/rerank", {"query": "a", "texts": ["b"]}),
    ):
        there, here = client.post(port, route, body), server.post(route, body)
        assert (there.status, there.content) == (here.status, here.content), route


def _require_a_second_replica(port: int, folder: str) -> None:
    """Fail unless many waiting requests bring another replica, and none of them fails."""
    assert len(_replicas(folder)) == 1
    body, statuses, is_over = {"inputs": texts.passages(32, 60)}, [], threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            statuses.append(client.post(port, "/embed", body).status)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        process.eventually(lambda: len(_replicas(folder)) == 2, 120, "no second replica")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def _running(folder: str) -> dict[int, str]:
    """Return the processes whose variables name this folder, with their titles."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or place.name == str(os.getpid()):
            continue
        try:
            if f"RAY_TMPDIR={folder}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found[int(place.name)] = (place / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _replicas(folder: str) -> list[int]:
    """Return the processes that are replicas of the service."""
    return [pid for pid, name in _running(folder).items() if name.startswith("ray::ServeReplica")]
