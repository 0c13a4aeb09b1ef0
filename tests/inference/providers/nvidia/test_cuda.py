"""Plans for NVIDIA's GPUs."""

from dataclasses import replace

import pytest

from app.inference.providers.choose import candidates
from app.inference.providers.plan import Found, ProviderRequest
from app.model.names import Provider
from tests.support.machines import TENSORRT as GPU


def test_cuda_computes_in_full_float32() -> None:
    [plan] = candidates(ProviderRequest("cuda", "float32"), GPU, "embedding")
    assert plan.ort_options["use_tf32"] == "0"
    assert plan.compute_dtype == "float32"


@pytest.mark.parametrize(("devices", "used"), [((), ["0"]), ((3,), ["3"]), ((2, 0), ["2", "0"])])
def test_cuda_has_a_plan_for_each_device_that_is_named(
    devices: tuple[int, ...], used: list[str]
) -> None:
    [plan] = candidates(ProviderRequest("cuda", "float32", devices=devices), GPU, "embedding")
    each = plan.per_device()
    assert [one.ort_options["device_id"] for one in each] == used
    assert [one.devices for one in each] == [(int(text),) for text in used]
    assert all(one.ort_options["arena_extend_strategy"] == "kSameAsRequested" for one in each)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_certificate_of_a_gpu_names_the_gpu(provider: Provider) -> None:
    here = replace(GPU, found={provider: Found(device="NVIDIA L4 sm_89")})
    plans = candidates(ProviderRequest(provider), here, "embedding")
    assert {plan.gpu for plan in plans} == {"NVIDIA L4 sm_89"}
    assert candidates(ProviderRequest("cpu"), GPU, "embedding")[0].gpu is None


def test_the_memory_of_a_gpu_is_bounded_when_asked() -> None:
    for plan in candidates(ProviderRequest("cuda"), GPU, "embedding"):
        assert "gpu_mem_limit" not in plan.ort_options
    for plan in candidates(
        ProviderRequest("cuda", gpu_memory_limit=6_000_000_000), GPU, "embedding"
    ):
        assert plan.ort_options["gpu_mem_limit"] == "6000000000"
