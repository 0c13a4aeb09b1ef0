"""Serving straight from a snapshot that holds ONNX: where it is found, and what happens then."""

import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from app.download import preparation
from app.download.workspace import temporary_folder
from app.errors import StartupError
from app.model.lookup.hub_cache import candidates, digest, graph_file, graph_files, is_whole, roots
from app.model.manifest import Manifest
from app.settings import Settings
from tests.support.snapshot import COMMIT, OTHER_COMMIT, contents, write_cache, write_folder
from tools import tiny
from tools.process import ROOT, Server, end, eventually, start, variables

MODEL = "tests/small"
EXACT = ("--dtype", "float32")
OFFLINE = {"HF_HUB_OFFLINE": "1"}
CONVERT = "run: make export MODEL_ID=tests/small"
BY_NAME = "name one with --onnx-file (ONNX_FILE)"
ELSEWHERE = "name a model with one of these, or with PyTorch weights"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "small")


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Variables for a process in which nothing of PyTorch can be imported."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "transformers", "optimum", "sentence_transformers", "huggingface_hub"):
        (blocked / f"{name}.py").write_text("raise ImportError('not in the image')")
    return {"PYTHONPATH": str(blocked)}


def settings_for(tmp_path: Path, **changes: Any) -> Settings:
    defaults = {
        "model_id": MODEL,
        "models_dir": tmp_path / "models",
        "huggingface_hub_cache": tmp_path / "data",
        "cache_dir": tmp_path / "prepared",
    }
    return Settings(**{**defaults, **changes})


def prepare(settings: Settings) -> Path:
    """The folder that the model would be loaded from."""
    with preparation.prepared(settings, OFFLINE) as (_, folder):
        return folder


def served(server: Server) -> list[list[float]]:
    vectors: list[list[float]] = server.post("/embed", {"inputs": ["the cat", "hello world"]}).json
    return vectors


def expected() -> list[list[float]]:
    texts = ("the cat", "hello world")
    return [tiny.unit(tiny.reference(tiny.ids_of(text))).tolist() for text in texts]


def partial(folder: Path) -> list[str]:
    """What lies in a folder of prepared models beside the locks."""
    return [path.name for path in folder.glob("*/*") if not path.name.endswith(".lock")]


# Serving, in a process of its own.


@pytest.mark.parametrize("layout", ["", "hub"])
def test_a_model_of_the_hub_s_cache_is_served(
    folder: Path, tmp_path: Path, without_torch: dict[str, str], layout: str
) -> None:
    data = tmp_path / "data"
    write_cache(data / layout, folder)
    before = contents(data)
    server = Server(
        "--model-id", MODEL, "--cache-dir", str(tmp_path / "prepared"), *EXACT,
        environment={**without_torch, "HUGGINGFACE_HUB_CACHE": str(data)},
    )  # fmt: skip
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    server.signal()
    output = server.output()
    assert server.process.returncode == 0, output
    assert contents(data) == before


def test_a_folder_is_served_from_a_temporary_one_that_is_gone_once_it_is_loaded(
    folder: Path, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {**without_torch, "TMPDIR": str(tmp_path / "tmp")}
    server = Server("--model-id", str(folder), *EXACT, environment=environment)
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    assert list((tmp_path / "tmp").iterdir()) == []
    server.signal()
    assert "name a folder to keep it in with --cache-dir" in server.output()


def test_a_damaged_graph_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    graph = folder / "onnx/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    server = Server("--model-id", str(folder), "--cache-dir", str(tmp_path / "prepared"))
    output = server.output()
    assert server.process.returncode == 1
    assert f"Error: {graph} cannot be read as ONNX: " in output.splitlines()[-1]
    assert "Traceback" not in output
    assert partial(tmp_path / "prepared") == []


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda graph: truncate(graph.with_name("model.onnx_data")), "is shorter than model.onnx"),
        (lambda graph: graph.with_name("model.onnx_data").unlink(), "is missing: fetch the model"),
        (lambda graph: relocate(graph, "../config.json"), "keeps weights in '../config.json'"),
        (lambda graph: relocate(graph, "weights.bin"), "keeps weights in 'weights.bin'"),
    ],
)
def test_weights_in_a_file_of_their_own_are_whole_and_beside_the_graph(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], fault: str
) -> None:
    graph = folder / "onnx/model.onnx"
    settings = settings_for(tmp_path, model_id=str(folder))
    save_apart(graph, "model.onnx_data")
    assert Manifest.read(prepare(settings)).certificates
    damage(graph)
    with pytest.raises(StartupError, match=re.escape(fault)) as refusal:
        prepare(settings)
    assert "\n" not in str(refusal.value)


def save_apart(graph: Path, name: str) -> None:
    """Move the weights of a graph to a file beside it."""
    model = onnx.load(graph)
    onnx.save_model(model, graph, save_as_external_data=True, location=name, size_threshold=0)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def relocate(graph: Path, name: str) -> None:
    """Have a graph look for its weights elsewhere."""
    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    graph.write_bytes(model.SerializeToString())


@contextmanager
def blocked(settings: Settings, folder: Path) -> Iterator[tuple[Server, int]]:
    """A server whose child waits for a lock that we hold, and the child's number."""
    graph = graph_file(folder)
    assert graph is not None
    assert settings.cache_dir is not None
    place = settings.cache_dir / preparation._key(settings, folder, graph)
    place.mkdir(parents=True)
    with (place / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ("--model-id", str(folder), "--cache-dir", str(settings.cache_dir))
        server = Server(*command, *EXACT)
        assert server.process.stdout is not None
        for line in server.process.stdout:
            if "waiting for another export" in line:
                break
        number = server.process.pid
        [child] = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        yield server, int(child)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_preparation_too(
    folder: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        server.signal(sent)
        output = server.output()
        assert server.process.returncode == 128 + sent
        assert "Traceback" not in output
        assert not Path(f"/proc/{child}").exists()


def test_a_preparation_that_is_killed_is_one_line(folder: Path, tmp_path: Path) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        os.kill(child, signal.SIGKILL)
        output = server.output()
        assert server.process.returncode == 1
        assert "Error: preparing the model ended with exit code -9: waiting" in output


def test_a_preparation_does_not_outlive_a_server_that_is_killed(
    folder: Path, tmp_path: Path
) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        server.signal(signal.SIGKILL)
        server.output()
        eventually(lambda: not Path(f"/proc/{child}/fd/0").exists())


def test_what_a_killed_start_leaves_is_removed_by_the_next(folder: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    script = "from app.download.workspace import temporary_folder as t\nwith t(): print(), input()"
    killed = start(
        [sys.executable, "-u", "-c", script], cwd=ROOT, env=variables(environment),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert killed.stdout is not None
    killed.stdout.readline()
    end(killed)
    assert len(list(temporary.iterdir())) == 1
    server = Server("--model-id", str(folder), *EXACT, environment=environment)
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    assert list(temporary.iterdir()) == []
    server.signal()
    assert "which a start that was killed has left" in server.output()


def test_a_temporary_folder_in_use_or_of_others_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "embedding-service-link").symlink_to("elsewhere")
    (tmp_path / "embedding-service-file").touch()
    with temporary_folder() as first, temporary_folder() as second:
        assert first != second
        assert first.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {
        "elsewhere", "embedding-service-link", "embedding-service-file"
    }  # fmt: skip


def test_without_onnx_the_remedy_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError('no onnx here')")
    server = Server("--model-id", str(folder), environment={"PYTHONPATH": str(tmp_path)})
    output = server.output()
    assert server.process.returncode == 1
    assert "Error: no onnx here: to prepare a model from ONNX install the extra" in output
    assert "Traceback" not in output


# Preparing.


def test_a_prepared_folder_is_used_again(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_cache(tmp_path / "data", folder)
    settings = settings_for(tmp_path)
    place = prepare(settings)
    Manifest.read(place).verify_files(place)
    before = contents(place)
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert prepare(settings) == place
    assert contents(place) == before
    [line] = caplog.messages
    assert line.endswith(f"was prepared before: {place}")


@pytest.mark.parametrize(
    "name", ["1_Pooling/config.json", "tokenizer.json", "onnx/model.onnx_data"]
)
def test_other_files_are_prepared_anew(folder: Path, tmp_path: Path, name: str) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    first = prepare(settings)
    with (folder / name).open("a") as stream:
        stream.write(" ")
    second = prepare(settings)
    assert first != second
    assert Manifest.read(first).graphs == Manifest.read(second).graphs


def test_an_unreadable_manifest_is_prepared_over(folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    place = prepare(settings)
    (place / "manifest.json").write_text("{}")
    assert prepare(settings) == place
    Manifest.read(place).verify_files(place)


def test_another_pooling_is_the_prepared_folder_s_own(folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    other = settings_for(tmp_path, model_id=str(folder), pooling="last_token")
    assert Manifest.read(prepare(settings)).pooling == "mean"
    manifest = Manifest.read(prepare(other))
    assert manifest.pooling == "last_token"
    assert manifest.certificates[0].worst_cosine >= 0.99999


def test_int8_is_prepared_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="--dtype int8: the model multiplies nothing by weights"):
        prepare(settings_for(tmp_path, model_id=str(folder), dtype="int8"))
    assert prepare(settings_for(tmp_path, model_id=str(folder)))


def test_an_exported_model_comes_first(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder)
    exported = tmp_path / "models" / "tests--small"
    tiny.build(exported)
    settings = settings_for(tmp_path)
    assert prepare(settings) == exported
    with preparation.prepared(settings, OFFLINE) as (meant, _):
        assert meant is settings
    assert not (tmp_path / "prepared").exists()


def test_an_exported_folder_comes_first_whatever_revision_is_named(
    folder: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "models" / folder.name
    tiny.build(exported)
    settings = settings_for(tmp_path, model_id=str(folder), revision="abc")
    assert prepare(settings) == exported
    with preparation.prepared(settings, OFFLINE) as (meant, _):
        assert meant is settings
    assert not (tmp_path / "prepared").exists()


def test_what_is_served_keeps_its_name(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder, reference="v2")
    settings = settings_for(tmp_path, revision="v2")
    with preparation.prepared(settings, OFFLINE) as (meant, place):
        assert (meant.model_id, meant.revision, meant.model_name) == (MODEL, "v2", MODEL)
    assert (place.name, Manifest.read(place).source.revision) == ("tests--small@v2", COMMIT)


@pytest.mark.parametrize("name", ["model_fp16.onnx", "onnx/model_fp16.onnx"])
def test_a_graph_is_prepared_by_its_name_past_an_export(
    folder: Path, tmp_path: Path, name: str
) -> None:
    shutil.copyfile(folder / "onnx/model.onnx", folder / "onnx/model_fp16.onnx")
    snapshot = write_cache(tmp_path / "data", folder)
    tiny.build(tmp_path / "models" / "tests--small")
    place = prepare(settings_for(tmp_path, onnx_file=name))
    assert tmp_path / "prepared" in place.parents
    shutil.rmtree(tmp_path / "models")
    assert prepare(settings_for(tmp_path)) != place  # of the graph by the usual name
    wrong = settings_for(tmp_path, onnx_file="model_int8.onnx")
    assert fault(wrong) == (
        f"{snapshot} holds no model_int8.onnx, only onnx/model.onnx, onnx/model_fp16.onnx: "
        f"{BY_NAME}"
    )


def test_a_graph_is_told_from_others_whatever_its_name_holds(tmp_path: Path) -> None:
    graph = tmp_path / "model[1].onnx"
    weights = tmp_path / "model[1].onnx_data"
    for path in (graph, weights, tmp_path / "model1.onnx"):
        path.write_bytes(b"1")
    assert graph_files(graph) == [graph, weights]
    digests = {digest(tmp_path, graph)}
    for path in (graph, weights):
        path.write_bytes(b"2")
        digests.add(digest(tmp_path, graph))
    assert len(digests) == 3
    (tmp_path / "model1.onnx").write_bytes(b"2")
    assert digest(tmp_path, graph) in digests


def test_an_exported_folder_has_its_own_graphs(tmp_path: Path) -> None:
    tiny.build(tmp_path / "own")
    settings = settings_for(tmp_path, model_id=str(tmp_path / "own"), onnx_file="a.onnx")
    assert fault(settings) == (
        f"--onnx-file a.onnx: {tmp_path}/own is an exported model, which has its own graphs: leave "
        "the option out"
    )


# What cannot be prepared.


def fault(settings: Settings, environment: dict[str, str] | None = None) -> str:
    with (
        pytest.raises(StartupError) as caught,
        preparation.prepared(settings, OFFLINE | (environment or {})),
    ):
        raise AssertionError("there is a model")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nowhere_names_the_places_and_the_remedy(tmp_path: Path) -> None:
    message = fault(settings_for(tmp_path, revision="v2"), {"HF_HOME": "/home/hf"})
    data = tmp_path / "data"
    assert message == (
        f"{MODEL} is not exported: neither it nor {tmp_path}/models/tests--small@v2 holds a "
        f"manifest.json, and no Hub cache holds it (looked in {data}/hub, {data}, /home/hf/hub, "
        f"{tmp_path}/prepared/hub); HF_HUB_OFFLINE keeps it from being downloaded: unset it, or "
        "run: make export MODEL_ID=tests/small REVISION=v2"
    )


@pytest.mark.parametrize(
    ("files", "held"),
    [
        (["model.safetensors"], f"only PyTorch weights; {CONVERT}"),
        (["pytorch_model-00001-of-00002.bin"], f"only PyTorch weights; {CONVERT}"),
        (
            ["onnx/model_quantized.onnx", "pytorch_model.bin"],
            f"only onnx/model_quantized.onnx: {BY_NAME}, or {CONVERT}",
        ),
        (
            ["onnx/model_q4.onnx", "a.bin"],
            f"only onnx/model_q4.onnx, which are not served: {ELSEWHERE}",
        ),
        # What cannot be converted is not sent to be.
        (
            ["onnx/model_quantized.onnx", "model_O4.onnx"],
            f"only model_O4.onnx, onnx/model_quantized.onnx: {BY_NAME}",
        ),
        ([], f"no weights either: {ELSEWHERE}"),
    ],
)
def test_a_snapshot_without_the_graph_says_what_it_holds_and_what_helps(
    folder: Path, tmp_path: Path, files: list[str], held: str
) -> None:
    (folder / "onnx/model.onnx").unlink()
    for name in files:
        (folder / name).write_bytes(b"weights")
    snapshot = write_cache(tmp_path / "data", folder)
    expected = f"{snapshot} holds no model.onnx and no onnx/model.onnx, {held}"
    assert fault(settings_for(tmp_path)) == expected


def test_a_cache_folder_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = fault(settings_for(tmp_path, model_id=str(folder), cache_dir=tmp_path / "file"))
    place = tmp_path / "file"
    assert message == f"File exists ({place}): see that --cache-dir can be written"


def test_without_a_place_for_temporary_files_the_option_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    message = fault(settings_for(tmp_path, model_id=str(folder), cache_dir=None))
    assert message == (
        "there is no temporary folder to prepare the model in (No such file or directory): name a "
        "folder that can be written with --cache-dir"
    )


# Finding.


def test_a_model_is_found_by_its_name_alone_and_by_its_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.build(tmp_path / "models/tests--small")
    caplog.set_level(logging.INFO, "app.download.preparation")
    for name in ("small", "https://huggingface.co/tests/small", "tests/small:latest"):
        with preparation.prepared(settings_for(tmp_path, model_id=name), OFFLINE) as (meant, _):
            assert (meant.model_id, meant.model_name) == (MODEL, MODEL)
    assert caplog.messages[0] == "by small tests/small is meant"


def test_a_near_miss_is_suggested(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder)
    message = fault(settings_for(tmp_path, model_id="test/small"))
    assert message.endswith("make export MODEL_ID=test/small; did you mean tests/small?")


def test_what_is_no_name_is_one_line(tmp_path: Path) -> None:
    message = fault(settings_for(tmp_path, model_id=f"{tmp_path}/nope"))
    assert message == (f"--model-id: {tmp_path}/nope is not a folder: give one that holds a model")


def test_a_prompt_that_a_snapshot_lacks_is_said_before_it_is_prepared(
    folder: Path, tmp_path: Path
) -> None:
    message = fault(settings_for(tmp_path, model_id=str(folder), default_prompt_name="nope"))
    assert "`default-prompt-name` is set to `nope`" in message
    assert not (tmp_path / "prepared").exists() or not partial(tmp_path / "prepared")


def test_revisions_are_branches_tags_and_commits(folder: Path, tmp_path: Path) -> None:
    main = write_cache(tmp_path, folder)
    other = write_cache(tmp_path, folder, OTHER_COMMIT, "pr/7")
    for revision, found in [
        (None, [main]),
        ("main", [main]),
        ("pr/7", [other]),
        (OTHER_COMMIT, [other]),
        ("v9", []),
        ("../main", []),
        (str(tmp_path), []),
    ]:
        assert candidates(MODEL, revision, [tmp_path]) == found
    assert candidates(str(tmp_path / "models--tests--small"), "pr/7", []) == [other]


def test_a_later_cache_serves_where_an_earlier_one_has_no_graph(
    folder: Path, tmp_path: Path
) -> None:
    second = write_cache(tmp_path / "data", folder)
    shutil.rmtree(folder / "onnx")
    first = write_cache(tmp_path / "data" / "hub", folder)
    places = roots(tmp_path / "data", {})
    assert candidates(MODEL, None, places) == [first, second]
    assert prepare(settings_for(tmp_path)).name == "tests--small"


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.cache/huggingface/hub"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x", "HF_HOME": "/f"}, "/f/hub"),
        ({"HF_HOME": "/f", "HF_HUB_CACHE": "/c"}, "/c"),
    ],
)
def test_the_usual_cache_is_the_one_of_huggingface_hub(
    environment: dict[str, str], found: str | None
) -> None:
    usual = (Path(found),) if found else ()
    assert roots(None, environment) == usual
    assert roots(Path("/data"), environment) == (Path("/data/hub"), Path("/data"), *usual)


@pytest.mark.parametrize(
    ("config", "whole"),
    [
        ('{"architectures": ["BertModel"]}', False),
        ('{"architectures": ["BertForSequenceClassification"]}', True),  # a head of its own
        ('{"architectures": 5}', False),
        ("{", False),
    ],
)
def test_a_cached_model_is_whole_when_its_pooling_is_known(
    folder: Path, tmp_path: Path, config: str, whole: bool
) -> None:
    (folder / "modules.json").unlink()
    assert is_whole(folder)  # a folder of the user's own is what it is
    (folder / "config.json").write_text(config)
    snapshot = write_cache(tmp_path / "data", folder)
    assert is_whole(snapshot) == whole
    absent = tmp_path / "data/models--tests--small/.no_exist" / COMMIT / "modules.json"
    absent.parent.mkdir(parents=True)
    absent.touch()
    assert is_whole(snapshot)


def test_the_graph_at_the_top_comes_first(folder: Path) -> None:
    assert graph_file(folder) == folder / "onnx/model.onnx"
    shutil.copyfile(folder / "onnx/model.onnx", folder / "model.onnx")
    assert graph_file(folder) == folder / "model.onnx"
