"""Plans for the processor."""

from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from app.inference.providers.choose import PROVIDERS, candidates
from app.inference.providers.plan import ProviderRequest
from app.model.manifest import Manifest
from app.operators import library
from tests.support.machines import ARM, OPERATORS, PLAIN
from tools import tiny

FAST_MATH = "mlas.enable_gemm_fastmath_arm64_bfloat16"


def test_threads_are_the_cores_unless_they_are_named() -> None:
    assert candidates(ProviderRequest(), PLAIN, "embedding")[0].threads == PLAIN.cores
    assert candidates(ProviderRequest(threads=1), PLAIN, "embedding")[0].threads == 1


def test_int16_is_planned_as_float32_is_and_has_to_qualify_unless_it_is_named() -> None:
    taken, exact = candidates(ProviderRequest(threads=3), OPERATORS, "embedding")
    rounded = replace(exact, compute_dtype="int16", run_cost=8, run_threads=3)
    assert taken == replace(rounded, must_qualify=True, reason=taken.reason)
    assert taken.reason == "the processor multiplies in it, and it costs this model little"
    [asked] = candidates(ProviderRequest(dtype="int16", threads=3), OPERATORS, "embedding")
    assert asked == replace(taken, must_qualify=False, reason="int16 was asked for")


@pytest.mark.parametrize(
    ("cores", "runs"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (16, 8), (64, 8)]
)
def test_the_cpu_provider_computes_some_runs_side_by_side(cores: int, runs: int) -> None:
    [plan] = candidates(ProviderRequest("cpu"), replace(PLAIN, cores=cores), "embedding")
    assert (plan.threads, plan.run_threads, plan.single_input_threads) == (cores, runs, 1)
    assert plan.one_long


@pytest.mark.parametrize(
    ("cores", "runs", "threads"), [(1, 1, None), (2, 2, 1), (8, 8, 1), (20, 8, 13), (64, 8, 57)]
)
def test_int16_has_fewer_threads_for_runs_beside_others(
    tmp_path: Path, cores: int, runs: int, threads: int | None
) -> None:
    if (fault := library.fault()) is not None:
        pytest.skip(fault)
    plan = candidates(ProviderRequest("cpu", "int16"), replace(OPERATORS, cores=cores), "reranker")
    assert plan[0].run_threads == runs
    manifest = tiny.build(tmp_path)
    opened = PROVIDERS["cpu"].open(
        tmp_path / manifest.graphs[0].file, plan[0], manifest, manifest.graphs[0], None
    )
    assert opened.session.get_session_options().intra_op_num_threads == cores
    beside = opened.beside_others
    found = None if beside is None else beside.get_session_options().intra_op_num_threads
    assert found == threads


def test_bfloat16_is_planned_as_float32_is_and_has_to_qualify_unless_it_is_named() -> None:
    taken, exact = candidates(ProviderRequest(threads=3), ARM, "embedding")
    assert taken.reason == "the processor computes in it, and it costs this model little"
    assert taken == replace(
        exact, compute_dtype="bfloat16", lowers=True, must_qualify=True, reason=taken.reason
    )
    [asked] = candidates(ProviderRequest("cpu", "bfloat16", threads=3), ARM, "embedding")
    assert asked == replace(taken, must_qualify=False, reason="bfloat16 was asked for")


@pytest.mark.parametrize("place", [0, 1], ids=["lower", "exact"])
def test_onnx_runtime_is_told_to_compute_in_bfloat16(tmp_path: Path, place: int) -> None:
    plan = candidates(ProviderRequest(), ARM, "embedding")[place]
    tiny.build(tmp_path)
    manifest = Manifest.read(tmp_path)
    graph = plan.graph_in(manifest)
    assert graph is not None
    opened = PROVIDERS["cpu"].open(tmp_path / graph.file, plan, manifest, graph, None)
    assert _has(opened.session, FAST_MATH) is (place == 0)


def _has(session: onnxruntime.InferenceSession, entry: str) -> bool:
    try:
        return bool(session.get_session_options().get_session_config_entry(entry) == "1")
    except RuntimeError:  # no such configuration entry
        return False
