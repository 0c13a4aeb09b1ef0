import json
from dataclasses import replace

import pytest

from app.errors import StartupError
from app.inference.providers.choose import candidates
from app.inference.providers.plan import Found, Machine, ProviderRequest
from app.model.names import DtypeChoice, ProviderChoice, Task
from tests.support.machines import (
    ARM,
    BLOCKED,
    EVERYTHING,
    FAST,
    GPU,
    GPU_IMAGE,
    OLD_ARM,
    OPERATORS,
    PLAIN,
    PLUGIN,
    TENSORRT,
    TILES,
)

HALVES = ["cuda float16, without padding", "cuda float16"]


@pytest.mark.parametrize(
    ("here", "provider", "dtype", "task", "tried"),
    [
        (PLAIN, "auto", "auto", "embedding", ["cpu float32"]),
        (PLUGIN, "auto", "auto", "embedding", ["cpu float32"]),
        (BLOCKED, "auto", "auto", "embedding", ["cpu float32"]),
        (FAST, "auto", "auto", "embedding", ["openvino bfloat16", "cpu float32"]),
        (FAST, "auto", "auto", "splade", ["openvino bfloat16", "cpu float32"]),
        (FAST, "auto", "auto", "reranker", ["cpu float32"]),
        (FAST, "auto", "auto", "classifier", ["cpu float32"]),
        (FAST, "auto", "float32", "embedding", ["cpu float32"]),
        (FAST, "auto", "bfloat16", "embedding", ["openvino bfloat16"]),
        (FAST, "auto", "bfloat16", "reranker", ["openvino bfloat16"]),
        (FAST, "cpu", "auto", "embedding", ["cpu float32"]),
        (OPERATORS, "auto", "auto", "embedding", ["cpu int16", "cpu float32"]),
        (OPERATORS, "auto", "auto", "splade", ["cpu int16", "cpu float32"]),
        (OPERATORS, "auto", "auto", "multi_vector", ["cpu int16", "cpu float32"]),
        (OPERATORS, "auto", "auto", "reranker", ["cpu float32"]),
        (OPERATORS, "cpu", "auto", "classifier", ["cpu float32"]),
        (OPERATORS, "cpu", "auto", "embedding", ["cpu int16", "cpu float32"]),
        (OPERATORS, "auto", "float32", "embedding", ["cpu float32"]),
        (OPERATORS, "auto", "int16", "embedding", ["cpu int16"]),
        (OPERATORS, "cpu", "int16", "reranker", ["cpu int16"]),
        (OPERATORS, "auto", "int8", "embedding", ["cpu int8"]),
        (
            EVERYTHING,
            "auto",
            "auto",
            "embedding",
            ["openvino bfloat16", "cpu int16", "cpu float32"],
        ),
        (TILES, "auto", "auto", "embedding", ["cpu int16", "openvino bfloat16", "cpu float32"]),
        (TILES, "auto", "auto", "reranker", ["cpu float32"]),
        (TILES, "auto", "bfloat16", "embedding", ["openvino bfloat16"]),
        (
            replace(TILES, ort_names=GPU.ort_names),
            "auto",
            "auto",
            "embedding",
            [*HALVES, "cuda float32", "cpu int16", "openvino bfloat16", "cpu float32"],
        ),
        (EVERYTHING, "auto", "bfloat16", "embedding", ["openvino bfloat16"]),
        (EVERYTHING, "openvino", "auto", "embedding", ["openvino bfloat16", "openvino float32"]),
        (FAST, "openvino", "auto", "embedding", ["openvino bfloat16", "openvino float32"]),
        (FAST, "openvino", "float32", "embedding", ["openvino float32"]),
        (FAST, "openvino", "bfloat16", "embedding", ["openvino bfloat16"]),
        (PLUGIN, "openvino", "auto", "embedding", ["openvino float32"]),
        (ARM, "auto", "auto", "embedding", ["cpu bfloat16", "cpu float32"]),
        (ARM, "auto", "auto", "multi_vector", ["cpu bfloat16", "cpu float32"]),
        (ARM, "auto", "auto", "reranker", ["cpu float32"]),
        (ARM, "auto", "float32", "embedding", ["cpu float32"]),
        (ARM, "auto", "bfloat16", "embedding", ["cpu bfloat16"]),
        (ARM, "cpu", "auto", "embedding", ["cpu bfloat16", "cpu float32"]),
        (ARM, "cpu", "bfloat16", "classifier", ["cpu bfloat16"]),
        (ARM, "cpu", "int8", "embedding", ["cpu int8"]),
        (OLD_ARM, "auto", "auto", "embedding", ["cpu float32"]),
        (GPU, "auto", "auto", "embedding", [*HALVES, "cuda float32", "cpu float32"]),
        (GPU, "auto", "auto", "reranker", ["cuda float32", "cpu float32"]),
        (GPU, "cuda", "auto", "splade", [*HALVES, "cuda float32"]),
        (GPU, "cuda", "float16", "embedding", HALVES),
        (GPU, "auto", "float16", "classifier", HALVES),
        (GPU, "cpu", "auto", "embedding", ["cpu float32"]),
        (GPU_IMAGE, "auto", "auto", "embedding", ["cpu float32"]),
        (GPU_IMAGE, "cpu", "auto", "embedding", ["cpu float32"]),
        (GPU, "auto", "int8", "embedding", ["cpu int8"]),
        (FAST, "auto", "int8", "reranker", ["cpu int8"]),
        (FAST, "cpu", "int8", "embedding", ["cpu int8"]),
        (GPU, "cuda", "float32", "embedding", ["cuda float32"]),
        (TENSORRT, "auto", "auto", "embedding", [*HALVES, "cuda float32", "cpu float32"]),
        (TENSORRT, "tensorrt", "auto", "embedding", ["tensorrt float32"]),
        (TENSORRT, "tensorrt", "auto", "reranker", ["tensorrt float32"]),
        (TENSORRT, "tensorrt", "float16", "embedding", ["tensorrt float16"]),
    ],
)
def test_the_order_of_plans(
    here: Machine, provider: ProviderChoice, dtype: DtypeChoice, task: Task, tried: list[str]
) -> None:
    plans = candidates(ProviderRequest(provider, dtype), here, task)
    assert [plan.name.replace(" in ", " ") for plan in plans] == tried
    assert all(plan.reason for plan in plans)


@pytest.mark.parametrize(
    ("here", "provider", "dtype", "message"),
    [
        (PLAIN, "cuda", "auto", "no CUDA provider; install the `gpu` extra"),
        (
            GPU_IMAGE,
            "cuda",
            "auto",
            "--provider cuda: there is no NVIDIA driver here: pass a device; or use --provider cpu",
        ),
        (PLAIN, "openvino", "auto", "--provider openvino: no plug-in; use --provider cpu"),
        (PLAIN, "auto", "bfloat16", "--dtype bfloat16: no plug-in; use --dtype float32"),
        (
            FAST,
            "cpu",
            "bfloat16",
            "--dtype bfloat16: provider cpu computes in it on Arm's processors only; "
            "use --provider openvino or --dtype float32",
        ),
        (OLD_ARM, "cpu", "bfloat16", "compute in bfloat16 (it has no bf16); use --dtype float32"),
        (OLD_ARM, "auto", "bfloat16", "compute in bfloat16 (it has no bf16); use --dtype float32"),
        (GPU, "cuda", "int8", "provider cuda has no graph of that precision; use --provider cpu"),
        (GPU, "tensorrt", "auto", "no TensorRT provider; install the `gpu` extra"),
        (
            replace(TENSORRT, found={"tensorrt": Found("a library is missing")}),
            "tensorrt",
            "auto",
            "--provider tensorrt: a library is missing; or use --provider cpu",
        ),
        (TENSORRT, "tensorrt", "bfloat16", "provider tensorrt computes in float32 only"),
        (TENSORRT, "tensorrt", "int8", "provider tensorrt has no graph of that precision"),
        (PLUGIN, "openvino", "int8", "provider openvino has no graph of that precision"),
        (OPERATORS, "openvino", "int16", "--provider openvino: no plug-in; use --provider cpu"),
        (PLUGIN, "openvino", "int16", "provider openvino does not compute in it; use --provider"),
        (PLAIN, "auto", "int16", "--dtype int16: no operators; or use --dtype float32"),
        (PLAIN, "cpu", "int16", "--dtype int16: no operators; or use --dtype float32"),
        (PLUGIN, "openvino", "bfloat16", "neither amx_bf16 nor avx512_bf16"),
        (PLAIN, "auto", "float16", "for GPUs, and the installed onnxruntime has no CUDA"),
        (GPU, "cpu", "float16", "for GPUs, provider cpu gains nothing by it; use --dtype"),
        (GPU_IMAGE, "auto", "float16", "--dtype float16: there is no NVIDIA driver here: pass"),
    ],
)
def test_unavailable_providers_are_refused_with_reason_and_remedy(
    here: Machine, provider: ProviderChoice, dtype: DtypeChoice, message: str
) -> None:
    with pytest.raises(StartupError) as caught:
        candidates(ProviderRequest(provider, dtype), here, "embedding")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("here", "wanted", "task", "reason"),
    [
        (
            BLOCKED,
            ProviderRequest(),
            "embedding",
            "no plug-in; int16 would be faster, but no operators",
        ),
        (
            PLAIN,
            ProviderRequest("cpu"),
            "embedding",
            "provider cpu was asked for; int16 would be faster, but no operators",
        ),
        (OPERATORS, ProviderRequest("cpu"), "reranker", "provider cpu was asked for"),
        (OPERATORS, ProviderRequest(), "reranker", "scores are computed in float32"),
        (PLUGIN, ProviderRequest(), "embedding", "this processor does not compute in bfloat16"),
        (FAST, ProviderRequest(), "reranker", "scores are computed in float32"),
        (ARM, ProviderRequest(), "reranker", "scores are computed in float32"),
        (OLD_ARM, ProviderRequest(), "embedding", "this processor does not compute in bfloat16"),
        (FAST, ProviderRequest(dtype="float32"), "embedding", "float32 was asked for"),
        (FAST, ProviderRequest("cpu"), "embedding", "provider cpu was asked for"),
        (GPU_IMAGE, ProviderRequest(), "embedding", "there is no NVIDIA driver here"),
        (GPU_IMAGE, ProviderRequest("cpu"), "embedding", "provider cpu was asked for"),
    ],
)
def test_the_cpu_provider_says_why_it_is_the_one(
    here: Machine, wanted: ProviderRequest, task: Task, reason: str
) -> None:
    assert candidates(wanted, here, task)[-1].reason.startswith(reason)


@pytest.mark.parametrize(("dtype", "hint"), [("float32", "f32"), ("bfloat16", "bf16")])
def test_openvino_is_told_its_precision_and_its_threads(dtype: DtypeChoice, hint: str) -> None:
    [plan] = candidates(ProviderRequest("openvino", dtype, threads=3), FAST, "embedding")
    properties = json.loads(plan.ort_options["load_config"])["CPU"]
    assert properties["INFERENCE_PRECISION_HINT"] == hint
    assert properties["INFERENCE_NUM_THREADS"] == properties["NUM_STREAMS"] == "3"
    assert int(properties["CPU_RUNTIME_CACHE_CAPACITY"]) > 0
    assert plan.run_threads == 3


def test_openvino_runs_as_many_batches_side_by_side_as_it_has_threads() -> None:
    eight = replace(FAST, cores=8)
    assert candidates(ProviderRequest(), eight, "embedding")[0].run_threads == 8


def test_openvino_runs_few_shapes_and_the_cpu_provider_any() -> None:
    openvino, cpu = candidates(ProviderRequest(), FAST, "embedding")
    assert cpu.limits(512, 16384).shapes() == []
    assert cpu.limits(512, 16384).max_tokens == 512
    limits = openvino.limits(512, 16384)
    assert 50 < len(limits.shapes()) < 100
    assert limits.max_tokens == 1024
    assert openvino.limits(512, 600).max_tokens == 600
