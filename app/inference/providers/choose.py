"""Execution providers: which ones to try, in which precision, and with which options.

OpenVINO picks bfloat16 by itself where a processor has it, so each plan states its precision.
"""

import json
from dataclasses import replace

from app.errors import StartupError
from app.inference.providers.plan import ORT_NAMES, Here, Plan, Wanted
from app.model.batch import CPU_RUN_TOKENS
from app.model.names import GPU_PROVIDERS, Dtype, ProviderChoice, Task

MOST_RUNS = 8  # side by side on the CPU provider: each takes memory
# In tokens, and not measured: launching a graph's kernels takes as long as some hundred.
GPU_RUN_COST = 512
VECTOR_TASKS = ("embedding", "splade", "multi_vector")
NO_BFLOAT16 = (
    "this processor does not compute in bfloat16 (it has neither amx_bf16 nor avx512_bf16)"
)


def candidates(wanted: Wanted, here: Here, task: Task) -> list[Plan]:
    """Plans to try in order.

    Raises: StartupError with the remedy when what was asked for by name cannot be had here.
    """
    _require(wanted, here)
    threads = wanted.threads or here.cores
    if wanted.dtype == "int8":  # never taken unasked, however close it comes
        return [_cpu(threads, None, "int8")]
    if wanted.provider == "tensorrt":
        return [_tensorrt(threads, wanted, here.gpu)]
    fault = None if wanted.dtype == "bfloat16" else _why_not_bfloat16(wanted, here, task)
    plans: list[Plan] = []
    usable = ORT_NAMES["cuda"] in here.ort_names and here.gpu_fault is None
    if usable and wanted.provider in {"auto", "cuda"} and wanted.dtype != "bfloat16":
        plans += _on_cuda(_cuda(threads, wanted, here.gpu), wanted, task)
    if fault is None:
        plans.append(_openvino("bfloat16", threads, wanted))
    if wanted.dtype in {"bfloat16", "float16"}:
        return plans
    if wanted.provider == "openvino":
        plans.append(_openvino("float32", threads, wanted, fault))
    elif wanted.provider in {"auto", "cpu"}:
        skipped = here.gpu_fault if wanted.provider == "auto" else None
        plans.append(_cpu(threads, skipped or fault))
    return plans


def _require(wanted: Wanted, here: Here) -> None:
    if wanted.provider in GPU_PROVIDERS:
        _require_gpu(wanted.provider, here)
    if wanted.provider == "openvino" and here.openvino_fault is not None:
        raise StartupError(f"--provider openvino: {here.openvino_fault}; use --provider cpu")
    if wanted.dtype == "int8" and wanted.provider not in {"auto", "cpu"}:
        raise StartupError(
            f"--dtype int8: provider {wanted.provider} has no graph of that precision; use "
            "--provider cpu or --dtype float32"
        )
    if wanted.dtype == "float16" and (why := _why_not_float16(wanted, here)) is not None:
        raise StartupError(f"--dtype float16: {why}; use --dtype float32")
    if wanted.dtype != "bfloat16":
        return
    if wanted.provider in {"cpu", *GPU_PROVIDERS}:
        raise StartupError(
            f"--dtype bfloat16: provider {wanted.provider} computes in float32 only; use "
            "--provider openvino or --dtype float32"
        )
    if here.openvino_fault is not None:
        raise StartupError(f"--dtype bfloat16: {here.openvino_fault}; use --dtype float32")
    if not here.bfloat16:
        raise StartupError(f"--dtype bfloat16: {NO_BFLOAT16}; use --dtype float32")


def _require_gpu(provider: ProviderChoice, here: Here) -> None:
    if ORT_NAMES[provider] not in here.ort_names:
        name = {"cuda": "CUDA", "tensorrt": "TensorRT"}[provider]
        raise StartupError(
            f"--provider {provider}: the installed onnxruntime has no {name} provider; install the "
            "`gpu` extra (onnxruntime-gpu) or use the image built with --target gpu"
        )
    if here.gpu_fault is not None:
        raise StartupError(f"--provider {provider}: {here.gpu_fault}; or use --provider cpu")


def _why_not_float16(wanted: Wanted, here: Here) -> str | None:
    if wanted.provider not in {"auto", *GPU_PROVIDERS}:
        return f"it is for GPUs, provider {wanted.provider} gains nothing by it"
    if ORT_NAMES["cuda"] not in here.ort_names:
        return "it is for GPUs, and the installed onnxruntime has no CUDA provider"
    return here.gpu_fault


def _why_not_bfloat16(wanted: Wanted, here: Here, task: Task) -> str | None:
    """Why bfloat16 is not tried where the choice is ours; None where it is."""
    if wanted.dtype in {"float32", "float16"}:
        return f"{wanted.dtype} was asked for"
    if wanted.provider in {"cpu", "cuda"}:
        return f"provider {wanted.provider} was asked for"
    if task not in VECTOR_TASKS:
        return "scores are computed in float32 unless bfloat16 is asked for"
    if not here.bfloat16:
        return NO_BFLOAT16
    return here.openvino_fault


def _cpu(threads: int, reason: str | None, dtype: Dtype = "float32") -> Plan:
    """Runs side by side on one pool of threads: what one leaves idle, another takes."""
    usual = "the provider that is always there" if dtype == "float32" else f"{dtype} was asked for"
    return Plan(
        "cpu",
        reason or usual,
        dtype,
        threads=threads,
        run_threads=max(1, min(threads // 2, MOST_RUNS)),
        lone_threads=1,
        one_long=True,
        run_tokens=CPU_RUN_TOKENS,
    )


def _openvino(dtype: Dtype, threads: int, wanted: Wanted, reason: str | None = None) -> Plan:
    """Several runs side by side, each on one core, move most tokens; a new shape costs memory."""
    auto = dtype == "bfloat16" and wanted.dtype == "auto"
    why = "the processor computes in it, and it costs this model little" if auto else reason
    properties = {
        "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[dtype],
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(threads),
        "CPU_RUNTIME_CACHE_CAPACITY": "64",
        # Pinned, the threads of two servers on one machine would share cores and leave others idle.
        "ENABLE_CPU_PINNING": "NO",
    }
    return Plan(
        "openvino",
        why or f"{dtype} was asked for",
        compute_dtype=dtype,
        must_qualify=auto,
        ort_options={"load_config": json.dumps({"CPU": properties})},
        run_threads=threads,
        run_tokens=CPU_RUN_TOKENS,
        row_counts=(1, 2, 4, 8, 16),
    )


def _on_cuda(exact: Plan, wanted: Wanted, task: Task) -> list[Plan]:
    """float16 where the model has a graph of it, float32 otherwise; scores only if asked for."""
    if wanted.dtype == "float32" or (wanted.dtype == "auto" and task not in VECTOR_TASKS):
        return [exact]
    auto = wanted.dtype == "auto"
    half = replace(
        exact,
        reason=f"{exact.reason}, in float16 it costs the model little" if auto else "asked for",
        compute_dtype="float16",
        must_qualify=auto,
    )
    return [replace(half, packed=True), half, *([exact] if auto else [])]


def _cuda(threads: int, wanted: Wanted, gpu: str) -> Plan:
    devices = wanted.devices or (0,)
    options = {
        "device_id": str(devices[0]),
        "use_tf32": "0",  # TF32 keeps 10 bits of mantissa; float32 must stay float32
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles and never gives back
        "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all of them for each new shape
    }
    if wanted.gpu_memory_limit is not None:
        options["gpu_mem_limit"] = str(wanted.gpu_memory_limit)
    return Plan(
        "cuda",
        f"{gpu} can be used",
        ort_options=options,
        devices=devices,
        gpu=gpu,
        threads=threads,
        run_cost=GPU_RUN_COST,
    )


def _tensorrt(threads: int, wanted: Wanted, gpu: str) -> Plan:
    devices = wanted.devices or (0,)
    return Plan(
        "tensorrt",
        "it was asked for",
        compute_dtype="float16" if wanted.dtype == "float16" else "float32",
        ort_options={"device_id": str(devices[0])},
        devices=devices,
        gpu=gpu,
        threads=threads,
        run_cost=GPU_RUN_COST,
        builds_engine=True,
        cache_dir=wanted.cache_dir,
    )
