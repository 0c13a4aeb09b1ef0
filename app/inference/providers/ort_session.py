"""ONNX Runtime's sessions: how each is configured, opened and compared with its plan.

ONNX Runtime falls back to the CPU without an error, whatever its options say (microsoft/onnxruntime
#17801, #23372), so each new session is compared with its plan.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnxruntime

from app.errors import StartupError
from app.inference.providers import machine, niceness
from app.inference.providers.plan import Plan, unusable
from app.inference.providers.provider import ExecutionProvider
from app.operators import library, weights

# The operators that take most of a model's time. A GPU rightly leaves a few others, which compute
# with shapes, to the CPU.
_COSTLY = re.compile(r"MatMul|Gemm|Attention|Normalization")
# Without a bound a thread would spin for milliseconds, on cores that others may need.
SPIN_MICROSECONDS = 20


def create(
    path: Path,
    plan: Plan,
    ort_options: Mapping[str, str],
    *,
    ort_name: str = "",
    device: onnxruntime.OrtEpDevice | None = None,
) -> onnxruntime.InferenceSession:
    """Open a session on one of ONNX Runtime's own providers, or on the device of a plug-in.

    Raises: StartupError naming the file, or the provider if a GPU may be at fault.
    """
    options = _options(plan)
    arguments = {}
    if device is not None:
        options.add_provider_for_devices([device], ort_options)
    else:
        arguments["providers"] = [(ort_name, ort_options)]
    try:
        if plan.compute_dtype == "int16":
            library.register(options)
        with niceness.giving_way():
            session = onnxruntime.InferenceSession(path, options, enable_fallback=0, **arguments)
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        reason = " ".join(str(error).split())
        if plan.gpu is not None:
            raise unusable(plan, reason) from None
        raise StartupError(f"{path} cannot be loaded: {reason}") from None
    if plan.compute_dtype == "int16":
        weights.give_back(path.parent)
    return session


def require_placement(
    session: onnxruntime.InferenceSession, plan: Plan, provider: ExecutionProvider
) -> None:
    """Raise StartupError unless the planned provider is used and computes what it has to."""
    first = session.get_providers()[0]
    if first != provider.ort_name:
        raise unusable(plan, f"got {first} instead")
    parts = session.get_provider_graph_assignment_info()
    placed = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    if (fault := placement_fault(provider, placed)) is not None:
        raise unusable(plan, fault)


def placement_fault(provider: ExecutionProvider, placed: Iterable[tuple[str, str]]) -> str | None:
    """Describe the operators that run on another provider than planned, or return None.

    `placed` holds pairs (ONNX Runtime's name of a provider, operator). A GPU has to compute what
    takes time. OpenVINO has to compute everything: the rest would run in float32 on one thread.
    """
    elsewhere = {
        (name, operator)
        for name, operator in placed
        if name != provider.ort_name and (provider.computes_all or _COSTLY.search(operator))
    }
    if not elsewhere:
        return None
    names, operators = ({pair[i] for pair in elsewhere} for i in range(2))
    return f"{', '.join(sorted(operators))} were placed on {', '.join(sorted(names))}"


def _options(plan: Plan) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan.threads  # 0 would pin a thread to each core of the host
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # memory plans are kept per shape, and shapes rarely repeat
    options.log_severity_level = 3
    # Threads wait for the next part of a run awake, but not for the next run: to be woken takes as
    # long as the shorter parts of a lone query.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_MICROSECONDS))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if plan.provider == "cpu" and plan.compute_dtype == "bfloat16":  # which it has on Arm alone
        options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    if plan.compute_dtype == "int8" and not machine.sums_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")  # slower, but exact
    return options
