"""What comes out of ONNX Runtime is compared with what was planned."""

import pytest

from app.inference.providers.choose import PROVIDERS, candidates
from app.inference.providers.ort_session import placement_fault
from app.inference.providers.plan import Plan, ProviderRequest, unusable
from app.model.names import Provider
from tests.support.machines import CPU, CUDA
from tests.support.machines import TENSORRT as GPU


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
def test_what_takes_time_has_to_be_where_it_was_planned(
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
