"""ONNX Runtime's sessions are compared with their plan."""

from pathlib import Path

import pytest

from app.inference.providers import ort_session
from app.inference.providers.choose import PROVIDERS, candidates
from app.inference.providers.ort_session import placement_fault
from app.inference.providers.plan import Plan, ProviderRequest, unusable
from app.model.manifest import GRAPH_FILE
from app.model.names import Provider
from tests.support.machines import CPU, CUDA, PLAIN
from tests.support.machines import TENSORRT as GPU
from tools import tiny


@pytest.mark.parametrize(
    ("provider", "placed", "fault"),
    [
        ("cpu", [(CPU, "MatMul")], None),
        ("cuda", [(CUDA, "MatMul"), (CPU, "Shape"), (CPU, "Gather")], None),
        (
            "cuda",
            [(CUDA, "MatMul"), (CPU, "SkipLayerNormalization"), (CPU, "MatMul"), (CPU, "Shape")],
            f"MatMul, SkipLayerNormalization were placed on {CPU}",
        ),
        (
            "cuda",
            [(CPU, "PackedMultiHeadAttention")],
            f"PackedMultiHeadAttention were placed on {CPU}",
        ),
        ("openvino", [(PROVIDERS["openvino"].ort_name, "MatMul")], None),
        ("openvino", [(CPU, "Shape")], f"Shape were placed on {CPU}"),
    ],
)
def test_costly_nodes_must_run_on_the_planned_provider(
    provider: Provider, placed: list[tuple[str, str]], fault: str | None
) -> None:
    assert placement_fault(PROVIDERS[provider], placed) == fault


def test_a_provider_that_does_not_work_is_named_with_the_remedy() -> None:
    [plan] = candidates(ProviderRequest("cuda", "float32"), GPU, "embedding")
    text = str(unusable(plan, f"got {CPU} instead"))
    assert text.startswith("--provider cuda: ONNX Runtime could not use it (got CPUExecution")
    assert "check that a device is passed" in text
    assert text.endswith("or use --provider cpu")
    assert "device" not in str(unusable(Plan("openvino", "asked for"), "no"))


def test_threads_wait_awake_for_the_next_part_of_a_run_and_not_for_the_next_run(
    tmp_path: Path,
) -> None:
    tiny.build(tmp_path)
    [plan] = candidates(ProviderRequest("cpu", "float32"), PLAIN, "embedding")
    session = ort_session.create(tmp_path / GRAPH_FILE, plan, {}, ort_name=CPU)
    entry = session.get_session_options().get_session_config_entry
    assert entry("session.intra_op.allow_spinning") == "1"
    assert entry("session.intra_op.spin_duration_us") == "20"
    assert entry("session.force_spinning_stop") == "1"
