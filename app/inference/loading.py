"""Loading: an exported folder becomes a warm session and a tokenizer, proved on this machine."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import BackendFailed, StartupError
from app.inference import machine
from app.inference.batch import TokenizedInput, collate
from app.inference.manifest import (
    POOLED_OUTPUTS,
    PROBES_FILE,
    SENTENCE_EMBEDDING,
    TASK_OUTPUTS,
    Certificate,
    Manifest,
    ManifestError,
    Pooling,
)
from app.inference.proof import Probes, ProbesError, bound, figure, is_proved, replay
from app.inference.session import Session, SessionOptions
from app.inference.tokenization import Tokenization

logger = logging.getLogger(__name__)

# Probes replayed at start: few where this very machine has a certificate, more where it has none.
CERTIFIED_PROBES = 8
UNCERTIFIED_PROBES = 64


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to be run."""

    session: SessionOptions
    tokenization_workers: int
    max_batch_tokens: int
    auto_truncate: bool


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to run."""

    manifest: Manifest
    session: Session
    tokenization: Tokenization
    max_input_length: int  # tokens; the model's own, or less where a batch holds less
    run_tokens: int  # padded tokens of one run


def load(folder: Path, options: LoadOptions) -> LoadedModel:
    """Check the folder's files, load them, run the largest batch once, and replay the probes.

    Raises: StartupError with the cause and the remedy.
    """
    try:
        manifest = Manifest.read(folder)
        manifest.verify_files(folder)
        probes = Probes.read(folder / PROBES_FILE)
    except (ManifestError, ProbesError) as error:
        raise StartupError(str(error)) from None
    max_length = _max_input_length(manifest, options)
    logger.info("Maximum number of tokens per request: %d", max_length)
    logger.info("Starting %d tokenization workers", options.tokenization_workers)
    tokenization = Tokenization.load(folder, manifest, options.tokenization_workers, max_length)
    logger.info("Starting model backend")
    session = Session.load(folder, manifest, options.session)
    run_tokens = min(options.max_batch_tokens, session.plan.run_tokens or options.max_batch_tokens)
    logger.info("Warming up model")
    _warm_up(session, manifest, max_length, run_tokens)
    _prove(session, manifest, probes)
    return LoadedModel(manifest, session, tokenization, max_length, run_tokens)


def output_for(manifest: Manifest, pooling: Pooling | None) -> str:
    """The graph output to read embeddings from, for a pooling asked for at start."""
    if manifest.task != "embedding":
        if pooling is not None:
            logger.warning("--pooling %s: a %s has none of its own", pooling, manifest.task)
        return TASK_OUTPUTS[manifest.task]
    if pooling is None or pooling == manifest.pooling:
        return SENTENCE_EMBEDDING
    logger.warning(
        "--pooling %s: the model's own pooling is %s; what is served is not proved",
        pooling,
        manifest.pooling,
    )
    return POOLED_OUTPUTS[pooling]


def _max_input_length(manifest: Manifest, options: LoadOptions) -> int:
    """TEI 1.9.3 router/src/lib.rs: an input longer than a batch could never run."""
    length = manifest.max_input_length
    if length <= options.max_batch_tokens:
        return length
    if not options.auto_truncate:
        raise StartupError(
            f"--max-batch-tokens {options.max_batch_tokens} is less than the {length} tokens that "
            "the model takes: raise it, or let --auto-truncate cut inputs"
        )
    logger.warning("inputs are cut to --max-batch-tokens %d", options.max_batch_tokens)
    return options.max_batch_tokens


def _warm_up(session: Session, manifest: Manifest, max_length: int, run_tokens: int) -> None:
    """Run one token, then the largest batch, after which memory has reached its plateau."""
    for rows, length in ((1, 1), (max(1, run_tokens // max_length), max_length)):
        tokens = TokenizedInput(np.zeros(length, np.int64))
        try:
            session.run(collate([tokens] * rows, manifest.padding), (TASK_OUTPUTS[manifest.task],))
        except BackendFailed as error:
            raise StartupError(f"Model backend is not healthy: {error}") from None


def _prove(session: Session, manifest: Manifest, probes: Probes) -> None:
    certificate = _fitting(manifest, session)
    chosen = probes.take(CERTIFIED_PROBES if certificate else UNCERTIFIED_PROBES)
    try:
        agreement = replay(session, chosen, manifest.padding, TASK_OUTPUTS[manifest.task])
    except BackendFailed as error:
        raise StartupError(f"Model backend is not healthy: {error}") from None
    known = "as certified for this machine" if certificate else "this machine has no certificate"
    logger.info(
        "Proved on %s in %s: %s to the original model over %d probes (%s)",
        session.provider,
        session.compute_dtype,
        figure(manifest.task, agreement),
        len(chosen),
        known,
    )
    if not is_proved(manifest.task, session.compute_dtype, agreement):
        raise StartupError(
            f"the model does not give its original's answers here: "
            f"{figure(manifest.task, agreement)} on {session.provider} in {session.compute_dtype}, "
            f"needed {bound(manifest.task, session.compute_dtype)}; export it again"
        )


def _fitting(manifest: Manifest, session: Session) -> Certificate | None:
    key = (session.graph.file, session.provider, session.compute_dtype, machine.describe())
    for one in manifest.certificates:
        if (one.graph, one.provider, one.compute_dtype, one.machine) == key:
            return one
    return None
