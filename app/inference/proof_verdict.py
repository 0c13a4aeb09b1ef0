"""Proof verdict: whether the proof at start is good enough to serve, and what the log says."""

import logging
from dataclasses import dataclass

from app.errors import StartupError
from app.inference.providers import machine
from app.inference.providers.plan import Plan
from app.model.manifest import Manifest
from app.model.parts import Certificate
from app.proof.bounds import (
    EXACT_ERROR,
    QUALIFYING,
    Agreement,
    Measured,
    bound_text,
    cost_text,
    figure,
    is_as_certified,
    is_proved,
    shortfall,
    yields_logits,
)

logger = logging.getLogger(__name__)

QUALIFYING_PROBES = 500  # needed in a certificate for a lower precision to be chosen automatically


@dataclass(frozen=True, slots=True)
class Proof:
    """The measurements at start, and this machine's certificate, if there is one."""

    agreement: Agreement
    probes: int
    certificate: Certificate | None


def judge(manifest: Manifest, plan: Plan, proof: Proof) -> None:
    """Log what was measured; raise StartupError if it is not good enough."""
    found = figure(manifest.task, proof.agreement)
    logger.info(
        "Proved on %s in %s: %s to %s over %d probes (%s)",
        plan.provider,
        plan.compute_dtype,
        found,
        _reference(manifest),
        proof.probes,
        "as certified for this machine" if proof.certificate else "this machine has no certificate",
    )
    if plan.compute_dtype == "int8":
        _require_as_certified(manifest, proof)
    _require_proved(manifest, plan, proof)
    if plan.compute_dtype == "bfloat16" and proof.agreement.largest_error < EXACT_ERROR:
        raise StartupError(
            f"--dtype {plan.compute_dtype}: {plan.provider} answers as exactly as float32 does, so "
            "it computes in that; use --dtype float32"
        )
    if plan.compute_dtype not in QUALIFYING:
        return
    if yields_logits(manifest.task):
        _tell_cost(manifest, plan, proof)
    else:
        require_quality(plan, proof.certificate or proof.agreement)


def _reference(manifest: Manifest) -> str:
    """Return what the answers were compared with, by the folder's first certificate."""
    by = manifest.certificates[0].reference if manifest.certificates else ""
    return "the ONNX graph as it was found" if by.startswith("onnx") else "the original model"


def _require_proved(manifest: Manifest, plan: Plan, proof: Proof) -> None:
    """Raise StartupError unless both this start's few probes and the certificate's many pass."""
    task, dtype = manifest.task, plan.compute_dtype
    for measured in (proof.agreement, proof.certificate):
        if measured is not None and not is_proved(task, dtype, measured):
            raise StartupError(
                f"the model does not give its original's answers here: {figure(task, measured)} "
                f"on {plan.provider} in {dtype}, needed {bound_text(task, dtype, measured)}; "
                + ("export it again" if dtype == "float32" else "use --dtype float32")
            )


def _tell_cost(manifest: Manifest, plan: Plan, proof: Proof) -> None:
    """Warn of what a lower precision costs scores, preferably by a certificate's many probes."""
    measured = proof.certificate or proof.agreement
    probes = proof.certificate.probes if proof.certificate else proof.probes
    what = cost_text(manifest.task, measured)
    logger.warning("%s costs this model: %s, over %d probes", plan.compute_dtype, what, probes)


def _require_as_certified(manifest: Manifest, proof: Proof) -> None:
    """Warn of what a lossy graph costs by the export's figures; raise if it costs more here."""
    every = [one for one in manifest.certificates if one.compute_dtype == "int8"]
    certified = proof.certificate or (every[0] if every else None)
    if certified is None:
        raise StartupError(
            "--dtype int8: the exported model does not say what it costs; export it again, or use "
            "--dtype float32"
        )
    if certified.reference == "onnx-int8":
        # The export rounded nothing, so it certified no cost to compare with.
        logger.warning(
            "the graph was quantized before it came here, and its original is not at hand: its "
            "answers are compared with its own of each text alone: %s",
            cost_text(manifest.task, certified),
        )
        return
    logger.warning(
        "int8 costs this model: %s, over %d probes on %s",
        cost_text(manifest.task, certified),
        certified.probes,
        certified.machine,
    )
    if not is_as_certified(manifest.task, proof.agreement, certified):
        raise StartupError(
            "int8 comes less close here than where the model was exported: "
            f"{figure(manifest.task, proof.agreement)}, "
            f"certified {figure(manifest.task, certified)} on {certified.machine}; "
            "use --dtype float32, or export the model on this machine"
        )


def require_quality(plan: Plan, measured: Measured) -> None:
    """Warn of what a lower precision costs; raise StartupError if it was not asked for."""
    short = shortfall(plan.compute_dtype, measured)
    if short is None:
        return
    if plan.must_qualify:
        raise StartupError(f"{short}; --dtype {plan.compute_dtype} serves it anyway")
    logger.warning("%s costs this model quality: %s", plan.compute_dtype, short)


def certificate_for(manifest: Manifest, plan: Plan) -> Certificate | None:
    """Return the folder's certificate of this graph, provider, precision and machine, or None."""
    graph = plan.graph_in(manifest)
    if graph is None:
        return None
    key = (graph.file, plan.provider, plan.compute_dtype, plan.gpu or machine.describe())
    least = QUALIFYING_PROBES if plan.must_qualify else 1
    for one in manifest.certificates:
        found = (one.graph, one.provider, one.compute_dtype, one.machine)
        if found == key and one.probes >= least:
            return one
    return None
