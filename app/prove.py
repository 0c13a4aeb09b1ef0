"""python -m app.prove FOLDER: replay the stored probes through the serving code.

Prints a certificate as one JSON object. The export runs this before it publishes a folder; an
operator may run it on the machine that serves.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceError, StartupError
from app.inference import machine, proof
from app.inference.manifest import (
    PROBES_FILE,
    TASK_OUTPUTS,
    Certificate,
    Manifest,
    ManifestError,
)
from app.inference.proof import Probes, ProbesError, ProbeText
from app.inference.providers import Choice
from app.inference.session import Session, SessionOptions
from app.inference.tokenization import Tokenization


def prove(folder: Path, provider: Choice) -> Certificate:
    """Check every file, tokenize and run every probe, and compare with the stored reference.

    Raises: ManifestError, ProbesError, StartupError or ServiceError with what went wrong.
    """
    manifest = Manifest.read(folder)
    manifest.verify_files(folder)
    probes = Probes.read(folder / PROBES_FILE)
    session = Session.load(folder, manifest, SessionOptions(provider=provider))
    _check_tokens(Tokenization.load(folder, manifest), probes, session.graph.inputs)
    agreement = proof.replay(session, probes, manifest.padding, TASK_OUTPUTS[manifest.task])
    return Certificate(
        graph=session.graph.file,
        provider=session.provider,
        compute_dtype=session.compute_dtype,
        machine=machine.describe(),
        reference="pytorch",
        probes=len(probes),
        worst_cosine=agreement.worst_cosine,
        mean_cosine=agreement.mean_cosine,
        largest_error=agreement.largest_error,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def main(arguments: Sequence[str]) -> int:
    """Print the certificate, or one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m app.prove", allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an exported model")
    parser.add_argument("--provider", choices=get_args(Choice), default="cpu")
    options = parser.parse_args(arguments)
    try:
        certificate = prove(options.folder, options.provider)
    except (ManifestError, ProbesError, StartupError, ServiceError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(certificate)) + "\n")
    return 0


def _check_tokens(tokenization: Tokenization, probes: Probes, graph_inputs: Sequence[str]) -> None:
    """Raise StartupError naming the first text that serving tokenizes differently."""
    served = tokenization.encode_now(probes.texts)
    for text, expected, actual in zip(probes.texts, probes.inputs, served, strict=True):
        _check_same(text, "is tokenized as", expected.input_ids, actual.input_ids)
        if "token_type_ids" in graph_inputs:  # many tokenizers give types that no model asks for
            types = proof.type_ids(expected), proof.type_ids(actual)
            _check_same(text, "has the token types", *types)


def _check_same(
    text: ProbeText, what: str, expected: NDArray[np.int64], actual: NDArray[np.int64]
) -> None:
    if not np.array_equal(expected, actual):
        name = f"{text[:60]!r}" if isinstance(text, str) else f"the pair of {text[0][:60]!r}"
        raise StartupError(
            f"{name} {what} {actual[:8].tolist()}…, the original tokenizer gives "
            f"{expected[:8].tolist()}…: tokenizer.json and tokenizer_config.json of the model "
            "disagree"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
