import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import BackendFailed, StartupError
from app.inference.providers.plan import Plan
from app.inference.providers.provider import Opened
from app.inference.providers.session import Session
from app.model.batch import TokenizedInput, collate
from app.model.manifest import Manifest
from tools import tiny
from tools.process import eventually

CPU = Plan("cpu", "asked for")


@pytest.fixture(scope="module")
def manifest(tiny_model: Path) -> Manifest:
    return Manifest.read(tiny_model)


@pytest.fixture(scope="module")
def session(tiny_model: Path, manifest: Manifest) -> Session:
    return Session.load(tiny_model, manifest, CPU)


def test_pooled_vectors_are_the_reference(session: Session, manifest: Manifest) -> None:
    ids = [tiny.ids_of(text) for text in tiny.PROBE_TEXTS]
    batch = collate(list(map(TokenizedInput, ids)), manifest.padding)
    vectors = session.run(batch, ["sentence_embedding"])["sentence_embedding"]
    np.testing.assert_allclose(vectors, [tiny.reference(one) for one in ids], atol=1e-6)


def test_several_outputs_come_by_name(session: Session, manifest: Manifest) -> None:
    ids = tiny.ids_of("the cat")
    batch = collate([TokenizedInput(ids)], manifest.padding)
    results = session.run(batch, ["pooled_last_token", "token_embeddings", "pooled_cls"])
    expected = tiny.token_vectors(ids)
    np.testing.assert_allclose(results["token_embeddings"][0], expected, atol=1e-6)
    np.testing.assert_allclose(results["pooled_cls"][0], expected[0], atol=1e-6)
    np.testing.assert_allclose(results["pooled_last_token"][0], expected[-1], atol=1e-6)


def test_the_provider_that_runs_is_known(session: Session) -> None:
    assert (session.provider, session.compute_dtype) == ("cpu", "float32")


def test_a_failing_run_says_what_the_runtime_said(session: Session, manifest: Manifest) -> None:
    batch = collate([TokenizedInput(np.array([10_000]))], manifest.padding)
    with pytest.raises(BackendFailed, match=r"Backend error: .*indices element out of data bounds"):
        session.run(batch, ["sentence_embedding"])


def test_threads_may_share_a_session(session: Session, manifest: Manifest) -> None:
    batches = [
        collate([TokenizedInput(tiny.ids_of(text))], manifest.padding) for text in tiny.PROBE_TEXTS
    ]
    alone = [session.run(batch, ["pooled_mean"])["pooled_mean"] for batch in batches]
    together: dict[int, object] = {}

    def run(place: int) -> None:
        for _ in range(50):
            together[place] = session.run(batches[place], ["pooled_mean"])["pooled_mean"]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, vectors in enumerate(alone):
        np.testing.assert_array_equal(vectors, together[place])


def test_only_the_terminated_run_ends(session: Session, manifest: Manifest) -> None:
    inputs = [TokenizedInput(tiny.ids_of("the cat"))] * 2000
    batch = collate(inputs, manifest.padding)
    failure, over = threading.Event(), threading.Event()
    disturbed: list[BackendFailed] = []

    def doomed() -> None:
        try:
            while not over.is_set():
                session.run(batch, ["pooled_mean"])
        except BackendFailed as error:
            assert "terminate" in str(error)  # noqa: PT017  # in a thread of its own
            failure.set()

    def other() -> None:
        try:
            while not over.is_set():
                session.run(batch, ["pooled_mean"])
        except BackendFailed as error:
            disturbed.append(error)

    threads = [threading.Thread(target=doomed), threading.Thread(target=other)]
    for thread in threads:
        thread.start()

    def has_ended() -> bool:
        assert threads[0].ident is not None
        session.terminate(threads[0].ident)  # which a run notices that is under way
        return failure.is_set()

    try:
        eventually(has_ended, 60, pause=0.001)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not disturbed


def test_a_run_beside_another_takes_the_session_with_fewer_threads(manifest: Manifest) -> None:
    graph = manifest.graphs[0]
    session = Session(Opened(multiplying(1), beside_others=multiplying(2)), CPU, graph)
    batch = collate([TokenizedInput(np.full(1_000_000, 3))], manifest.padding)

    def run() -> float:
        return float(session.run(batch, ["sentence_embedding"])["sentence_embedding"][0, 0])

    assert {run() for _ in range(20)} == {3}
    over = threading.Event()

    def others() -> None:
        while not over.is_set():
            run()

    thread = threading.Thread(target=others)
    thread.start()
    try:
        eventually(lambda: run() == 6, 60, pause=0.0)
    finally:
        over.set()
        thread.join()
    assert {run() for _ in range(20)} == {3}


def multiplying(factor: int) -> onnxruntime.InferenceSession:
    """A session that gives the ids of a batch, multiplied."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "S"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["B", "S"])]
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids", "factor"], ["sentence_embedding"]),
    ]
    constants = [numpy_helper.from_array(np.array(factor, np.float32), "factor")]
    graph = helper.make_graph(nodes, "multiplying", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(StartupError, match=r"model\.onnx cannot be loaded: "):
        Session.load(tmp_path, manifest, CPU)


def test_a_folder_without_a_graph_for_the_provider_is_refused(
    tiny_model: Path, manifest: Manifest
) -> None:
    other = replace(manifest, graphs=(replace(manifest.graphs[0], providers=("cuda",)),))
    with pytest.raises(StartupError, match="no graph for provider cpu: export it again"):
        Session.load(tiny_model, other, CPU)


def test_a_provider_that_falls_back_to_the_cpu_in_silence_is_noticed(
    tiny_model: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.InferenceSession

    def on_the_cpu(*arguments: Any, **_: Any) -> Any:  # as onnxruntime-gpu does, by itself
        return real(*arguments, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(StartupError, match=r"--provider cuda: .*got CPUExecutionProvider instead"):
        Session.load(tiny_model, manifest, Plan("cuda", "asked for"))


def test_a_provider_that_leaves_the_work_to_the_cpu_is_noticed(
    tiny_model: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.InferenceSession

    class OnTheCpu(real):  # type: ignore[misc,valid-type]  # CUDA is there, and takes no node
        def __init__(self, *arguments: Any, **_: Any) -> None:
            super().__init__(*arguments, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", *super().get_providers()]

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnTheCpu)
    with pytest.raises(StartupError, match=r"\(.*MatMul.* were placed on CPUExecutionProvider\)"):
        Session.load(tiny_model, manifest, Plan("cuda", "asked for"))
