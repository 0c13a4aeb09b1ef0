"""Loading: an exported folder becomes a warm session and a tokenizer, proved on this machine."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from app.errors import BackendFailed, StartupError
from app.inference.proof_verdict import Proof, certificate_for, judge, require_quality
from app.inference.providers import memory_peak
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session, find_graph, limits_of, plans
from app.inference.tokenizing.slice_scheduler import SliceScheduler
from app.inference.tokenizing.tokenization import Tokenization
from app.model.batch import BatchLimits
from app.model.manifest import PROBES_FILE, Manifest, ManifestError
from app.model.parts import Route
from app.options.settings import Settings
from app.proof.counting import CountedRuns, clocked
from app.proof.probes import Probes, ProbesError
from app.proof.replay import replay_model, runs
from app.proof.stored import read_probes

logger = logging.getLogger(__name__)

# Probes replayed at start: few if this machine has a certificate, more if it has none.
CERTIFIED_PROBES = 8
UNCERTIFIED_PROBES = 64
# Part of the reason for float32 where a folder is older, or of a kind of model that has no such
# graph.
_NO_INT16 = "the exported model holds no int16 graph, which a new export makes if it can"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options for running a model."""

    wanted: ProviderRequest
    max_batch_tokens: int
    auto_truncate: bool

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options for these settings on this machine."""
        return cls(
            wanted=ProviderRequest.of(settings),
            max_batch_tokens=settings.max_batch_tokens,
            auto_truncate=settings.auto_truncate,
        )


@dataclass(frozen=True, slots=True)
class _Exported:
    """A folder whose files match its manifest."""

    folder: Path
    manifest: Manifest
    probes: Probes


@dataclass(frozen=True, slots=True)
class _Started:
    """Warm and proved sessions, one per device, and why they were chosen."""

    sessions: tuple[Session, ...]
    limits: BatchLimits
    reason: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to run."""

    manifest: Manifest
    sessions: tuple[Session, ...]  # one on each device
    tokenization: Tokenization
    max_input_length: int  # tokens; the model's own, or less if a batch holds less
    limits: BatchLimits  # of one run
    reason: str  # why this provider and this precision
    proof: Proof

    @property
    def session(self) -> Session:
        """The first session; the others compute the same."""
        return self.sessions[0]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the vector space; a lossy graph has its own."""
        return self.session.graph.fingerprint or self.manifest.fingerprint


def read_manifest(folder: Path) -> Manifest:
    """Return what the folder declares.

    Raises: StartupError naming the file and what is wrong with it.
    """
    try:
        return Manifest.read(folder)
    except ManifestError as error:
        raise StartupError(str(error)) from None


def load(
    folder: Path, manifest: Manifest, options: LoadOptions, tokenizing: SliceScheduler
) -> LoadedModel:
    """Check the folder's files, load them, run the largest batch once, and replay the probes.

    Its inputs are to be tokenized on these threads. Raises: StartupError with the cause and the
    remedy.
    """
    try:
        max_length = _max_input_length(manifest.max_input_length, options)
        manifest = replace(manifest, routes=_routes(manifest, options))
        candidates = _candidates(manifest, options.wanted)
        manifest.verify_files(folder)
        probes = read_probes(folder, manifest)
    except (ManifestError, ProbesError) as error:
        raise StartupError(str(error)) from None
    if manifest.left_out:
        logger.warning(
            "only dense vectors are served: the model also gives %s vectors, which its ONNX graph "
            "lacks; export it from its original weights to have them",
            " and ".join(manifest.left_out),
        )
    exported = _Exported(folder, manifest, probes)
    logger.info("Maximum number of tokens per request: %d", max_length)
    logger.info("Starting %d tokenization workers", tokenizing.threads)
    tokenization = Tokenization.load(folder, manifest, tokenizing, max_length)
    logger.info("Starting model backend")
    started = _start_first(exported, candidates, max_length, options.max_batch_tokens)
    return LoadedModel(
        manifest=manifest,
        sessions=started.sessions,
        tokenization=tokenization,
        max_input_length=max_length,
        limits=started.limits,
        reason=started.reason,
        proof=started.proof,
    )


def add_beside(folder: Path, model: LoadedModel, output: str) -> None:
    """Start a session of a graph with this output beside each one, warm and proved like them.

    Raises: StartupError or ProbesError with the cause.
    """
    manifest = model.manifest.yielding(output)
    exported = _Exported(folder, manifest, Probes.read(folder / PROBES_FILE))
    for session in model.sessions:
        # The precision has been chosen; another one would be another vector space.
        plan = replace(session.plan, must_qualify=False)
        session.add(_start(exported, plan, model.limits, model.max_input_length)[0])


def _routes(manifest: Manifest, options: LoadOptions) -> tuple[Route, ...]:
    """Return the routes, each limited to inputs that fit a batch."""
    return tuple(
        replace(one, max_input_length=_max_input_length(one.max_input_length, options))
        for one in manifest.routes
    )


def _max_input_length(length: int, options: LoadOptions) -> int:
    """Limit `length` to a batch: more could never run (TEI 1.9.3 router/src/lib.rs)."""
    if length <= options.max_batch_tokens:
        return length
    if not options.auto_truncate:
        raise StartupError(
            f"--max-batch-tokens {options.max_batch_tokens} is less than the {length} tokens that "
            "the model takes: raise it, or let --auto-truncate cut inputs"
        )
    logger.warning("inputs are cut to --max-batch-tokens %d", options.max_batch_tokens)
    return options.max_batch_tokens


def _candidates(manifest: Manifest, wanted: ProviderRequest) -> list[Plan]:
    """Return the plans to try in order; the last one has a graph to compute.

    Raises: StartupError if what was asked for by name is not available.
    """
    if wanted.dtype == "auto" and {graph.dtype for graph in manifest.graphs} == {"int8"}:
        wanted = replace(wanted, dtype="int8")  # its only graph
    every = plans(wanted, manifest.task)
    found = [one for one in every if _is_worth_trying(one, manifest)]
    find_graph(manifest, found[-1])
    if any(one.compute_dtype == "int16" for one in every if one not in found):
        found[-1] = replace(found[-1], reason=f"{found[-1].reason}; {_NO_INT16}")
    return found


def _start_first(
    exported: _Exported, candidates: list[Plan], max_length: int, max_batch_tokens: int
) -> _Started:
    """Start sessions by the first plan that works here.

    Raises: StartupError of the last plan.
    """
    given_up = ""
    for plan in candidates:
        try:
            limits = limits_of(exported.manifest, plan, max_length, max_batch_tokens)
            with clocked(f"starting {plan.name}", logger.info):
                started = [_start(exported, one, limits, max_length) for one in plan.per_device()]
        except StartupError as error:
            if plan is candidates[-1]:
                raise
            given_up = str(error)
            logger.warning("%s is not used: %s", plan.name, error)
        else:
            break
    reason, devices = given_up or plan.reason, "".join(f", device {one}" for one in plan.devices)
    logger.info("Computing on %s%s: %s", plan.name, devices, reason)
    sessions, proofs = zip(*started, strict=True)
    return _Started(sessions, limits, reason, proofs[0])


def _is_worth_trying(plan: Plan, manifest: Manifest) -> bool:
    """Skip an automatic choice without a graph; keep an explicit one, so its error can explain."""
    return plan.graph_in(manifest) is not None or not (plan.must_qualify or plan.packed)


def _start(
    exported: _Exported, plan: Plan, limits: BatchLimits, max_length: int
) -> tuple[Session, Proof]:
    """Start a session that follows the plan, warm and proved.

    Raises: StartupError saying why the plan cannot be followed.
    """
    manifest = exported.manifest
    certificate = certificate_for(manifest, plan)
    if plan.must_qualify and certificate is not None:
        require_quality(plan, certificate)  # before time is spent on loading
    session = Session.load(exported.folder, manifest, plan, limits)
    if certificate is not None and certificate.settings != session.settings:
        certificate = None
    logger.info("Warming up model")
    try:
        memory_peak.reach(session, manifest, limits, max_length)
        chosen = exported.probes.take(CERTIFIED_PROBES if certificate else UNCERTIFIED_PROBES)
        counted = CountedRuns(session, runs(chosen), logger.info)
        agreement = replay_model(counted, manifest, chosen, limits)
    except BackendFailed as error:
        raise StartupError(f"Model backend is not healthy: {error}") from None
    except ProbesError as error:
        raise StartupError(f"{exported.folder}: {error}") from None
    proof = Proof(agreement, len(chosen), certificate)
    judge(manifest, plan, proof)
    return session, proof
