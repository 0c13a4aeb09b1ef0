"""python -m app.prove FOLDER: replay the stored probes through the serving code.

Prints one JSON array of certificates, for each provider and precision of this machine unless one
is named; progress, and what is left out, go to standard error. The export runs this before it
publishes a folder; an operator may run it on the machine that serves.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceError, StartupError
from app.inference.providers import machine
from app.inference.providers.choose import PROVIDERS
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session, limits_of, plans
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.tokenization import Tokenization
from app.model.batch import CPU_RUN_TOKENS
from app.model.manifest import Manifest, ManifestError
from app.model.names import TOKEN_EMBEDDINGS, Dtype
from app.model.parts import Certificate
from app.model.routing import Routing
from app.proof import replay
from app.proof.counting import CountedRuns
from app.proof.probes import Probes, ProbesError, ProbeText, type_ids
from app.proof.stored import read_probes

MAX_BATCH_TOKENS = 16384  # the server's own default; a provider's plan may hold less
# Everything that might run on some machine, the CPU first; what this one lacks is left out.
EVERY = tuple(
    ProviderRequest(one.name, dtype)
    for one in reversed(list(PROVIDERS.values()))
    for dtype in one.proved
)
LEFT_OUT = "warning: "  # begins the lines on standard error that tell of it
# Never served: without a GPU, it shows that the graph for one is right. The CPU rounds less often.
HALVES_ON_CPU = Plan("cpu", "to see what the graph computes", "float16", run_tokens=CPU_RUN_TOKENS)


def prove(folder: Path, wanted: ProviderRequest) -> list[Certificate]:
    """Check every file, tokenize and run every probe, and compare with the stored reference.

    Returns one certificate for each graph that this precision has here.

    Raises: ManifestError, ProbesError, StartupError or ServiceError with what went wrong.
    """
    manifest, probes = _read(folder)
    return [
        _measure(folder, part, probes, plan)
        for plan in with_graphs(wanted, manifest)
        for part in _parts(plan, manifest)
    ]


def prove_every(folder: Path) -> list[Certificate]:
    """Return a certificate for each provider and precision of this machine, the CPU's first.

    Raises: as `prove` does; but failures of other providers than the CPU, and of int16, are only
    reported.
    """
    _tell(f"checking the files of {folder}, and how its probes are tokenized")
    manifest, probes = _read(folder)
    certificates = []
    every = [(plan, part) for plan in _every(manifest) for part in _parts(plan, manifest)]
    for number, (plan, part) in enumerate(every, 1):
        _tell(f"{plan.name}: running {len(probes)} probes ({number} of {len(every)})")
        try:
            certificates.append(_measure(folder, part, probes, plan))
        except (StartupError, ServiceError) as error:
            if plan.provider == "cpu" and plan.compute_dtype != "int16":
                raise  # what every server needs
            _tell(f"{LEFT_OUT}{plan.name} is left out: {error}")
    if not certificates:
        raise StartupError(f"{folder} holds no graph that can be computed here: export it again")
    return certificates


def with_graphs(wanted: ProviderRequest, manifest: Manifest) -> list[Plan]:
    """Return the plans for what is wanted that the model has a graph for, or else the last plan.

    Raises: StartupError if it is not available here.
    """
    found = plans(wanted, manifest.task)
    return [plan for plan in found if _has_graph(manifest, plan)] or found[-1:]


def _every(manifest: Manifest) -> Iterator[Plan]:
    """Yield every plan of this machine that the model has a graph for."""
    for wanted in EVERY:
        try:
            found = with_graphs(wanted, manifest)
        except StartupError:
            continue  # not on this machine
        yield from (plan for plan in found if _has_graph(manifest, plan))
    if _has_graph(manifest, HALVES_ON_CPU):
        yield HALVES_ON_CPU


def _parts(plan: Plan, manifest: Manifest) -> Iterator[Manifest]:
    """Yield the model with each graph that a server may open for a plan: one, or two."""
    yield manifest
    others = manifest.yielding(TOKEN_EMBEDDINGS)
    if plan.graph_in(others) not in {None, plan.graph_in(manifest)}:
        yield others


def _has_graph(manifest: Manifest, plan: Plan) -> bool:
    graph = plan.graph_in(manifest)
    return graph is not None


def main(arguments: Sequence[str]) -> int:
    """Print the certificates and return 0, or print one line on stderr and return 1."""
    parser = argparse.ArgumentParser(prog="python -m app.prove", allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an exported model")
    parser.add_argument("--provider", choices=tuple(PROVIDERS))
    parser.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    parser.add_argument("--cache-dir", type=Path, help="where TensorRT engines are kept")
    options = parser.parse_args(arguments)
    try:
        if options.provider is None:
            certificates = prove_every(options.folder)
        else:
            wanted = ProviderRequest(options.provider, options.dtype, cache_dir=options.cache_dir)
            certificates = prove(options.folder, wanted)
    except (ManifestError, ProbesError, StartupError, ServiceError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(json.dumps([asdict(one) for one in certificates]) + "\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _read(folder: Path) -> tuple[Manifest, Probes]:
    """Return the manifest and the probes, after checking that they are tokenized alike here."""
    manifest = Manifest.read(folder)
    manifest.verify_files(folder)
    probes = read_probes(folder, manifest)
    inputs = {name for graph in manifest.graphs for name in graph.inputs}
    _check_tokens(Tokenization.load(folder, manifest), manifest, probes, inputs)
    return manifest, probes


def _measure(folder: Path, manifest: Manifest, probes: Probes, plan: Plan) -> Certificate:
    longest = max(map(len, probes.inputs))
    limits = limits_of(manifest, plan, manifest.max_input_length, MAX_BATCH_TOKENS)
    session = Session.load(folder, manifest, plan, limits)
    counted = CountedRuns(session, replay.runs(probes), _tell)
    agreement = replay.replay_model(counted, manifest, probes, limits)
    return Certificate(
        graph=session.graph.file,
        provider=session.provider,
        compute_dtype=session.compute_dtype,
        machine=plan.gpu or machine.describe(),
        reference=manifest.certificates[0].reference if manifest.certificates else "pytorch",
        probes=len(probes),
        longest_input=longest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=session.settings,
        **asdict(agreement),
    )


def _check_tokens(
    tokenization: Tokenization,
    manifest: Manifest,
    probes: Probes,
    graph_inputs: Collection[str],
) -> None:
    """Raise StartupError naming the first text that serving tokenizes differently."""
    routing = Routing.of(manifest)
    prompts = probes.prompts or ("",) * len(probes)
    names = probes.names or ("",) * len(probes)
    for text, prompt, name, expected in zip(
        probes.texts, prompts, names, probes.inputs, strict=True
    ):
        asked = routing.prompt(name) if name else prompt or None
        named = manifest.default_prompt if asked is None else asked
        options = EncodeOptions(
            named or None,
            direction=manifest.truncation_side,
            route=routing.route(name or None),
        )
        [actual] = tokenization.encode_now([text], options)
        _check_same(text, "is tokenized as", expected.input_ids, actual.input_ids)
        if expected.prompt_length != actual.prompt_length:
            raise StartupError(
                f"the prompt {prompt[:60]!r} has {actual.prompt_length} tokens, by the original "
                f"tokenizer {expected.prompt_length}"
            )
        if "token_type_ids" in graph_inputs:  # many tokenizers give types that no model reads
            types = type_ids(expected), type_ids(actual)
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
