"""Plans: what follows from them, and what is said where one does not work."""

from dataclasses import replace

import pytest

from app.inference.providers.choose import candidates
from app.inference.providers.plan import ORT_NAMES, Plan, Wanted, misplaced, unusable
from app.model.names import Provider, ProviderChoice
from tests.support.machines import CPU, CUDA, FAST, GPU, TENSORRT


def test_only_a_precision_that_nobody_asked_for_must_qualify() -> None:
    plans = candidates(Wanted("openvino"), FAST, "embedding")
    assert [plan.must_qualify for plan in plans] == [True, False]
    plans = candidates(Wanted("cuda"), GPU, "embedding")
    assert [plan.must_qualify for plan in plans] == [True, True, False]
    plans = candidates(Wanted("cuda", "float16"), GPU, "embedding")
    assert [plan.must_qualify for plan in plans] == [False, False]
    assert not candidates(Wanted(dtype="bfloat16"), FAST, "embedding")[0].must_qualify


def test_a_provider_that_does_not_work_is_named_with_the_remedy() -> None:
    [plan] = candidates(Wanted("cuda", "float32"), GPU, "embedding")
    text = str(unusable(plan, f"got {CPU} instead"))
    assert text.startswith("--provider cuda: ONNX Runtime could not use it (got CPUExecution")
    assert "check that a device is passed" in text
    assert text.endswith("or use --provider cpu")
    assert "device" not in str(unusable(Plan("openvino", "asked for"), "no"))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_certificate_of_a_gpu_names_the_gpu(provider: ProviderChoice) -> None:
    plans = candidates(Wanted(provider), replace(TENSORRT, gpu="NVIDIA L4 sm_89"), "embedding")
    assert {plan.gpu for plan in plans} == {"NVIDIA L4 sm_89"}
    assert candidates(Wanted("cpu"), TENSORRT, "embedding")[0].gpu is None


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
        ("openvino", [(ORT_NAMES["openvino"], "MatMul")], None),
        ("openvino", [(CPU, "Shape")], f"Shape were placed on {CPU}"),
    ],
)
def test_what_takes_time_has_to_be_where_it_was_planned(
    provider: Provider, placed: list[tuple[str, str]], fault: str | None
) -> None:
    assert misplaced(Plan(provider, "asked for"), placed) == fault
