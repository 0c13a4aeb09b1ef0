"""Replay: how closely a session reproduces the probes that an export stores.

Replaying them through the serving session shows that graph, padding, provider and precision are
right on the machine that serves. Needs NumPy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.model.batch import BatchLimits, Runs, TokenizedInput, collate, in_order, require_rows
from app.model.manifest import PROBES_FILE, Manifest
from app.model.names import (
    LOGITS,
    PER_TOKEN_OUTPUTS,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TASK_OUTPUTS,
    Activation,
)
from app.model.parts import Padding
from app.model.routing import Routing
from app.proof.bounds import Agreement, worst
from app.proof.compare import Answers, compare_logits, compare_vectors, length_error
from app.proof.probes import Probes, ProbesError, spread
from app.proof.token_answers import judged_with, kept_places

BATCH_ROWS = 16
ALONE = 64  # how many of the probes are also run alone

_Found = Mapping[str, NDArray[np.float32]]  # a run's answers for one input, by output


def replay(
    session: Runs,
    probes: Probes,
    padding: Padding,
    limits: BatchLimits,
    output: str = SENTENCE_EMBEDDING,
    activation: Activation | None = None,
) -> Agreement:
    """Run the probes in batches of mixed lengths, some of them also alone, as serving would.

    `activation` turns logits into scores; None is the usual one.

    Raises: BackendFailed when a run fails; ProbesError for answers of another width than the
    probes'.
    """
    inputs = probes.inputs
    outputs = tuple(dict.fromkeys((output, *probes.token_answers)))
    rows = limits.capped(BATCH_ROWS)

    def run(batch: Sequence[TokenizedInput]) -> list[_Found]:
        collated = collate(batch, padding, limits.padded(max(map(len, batch))))
        results = session.run(collated, outputs)
        require_rows(results, outputs, collated)
        return _by_input(results, collated.attention_mask == 1)

    together = [
        found for place in in_order(list(map(len, inputs)), rows) for found in run(inputs[place])
    ]
    places = spread(len(inputs), ALONE)
    alone = [run([inputs[place]])[0] for place in places]
    answers = {name: _answers(name, together, alone, places) for name in outputs}
    _require_widths(probes, output, answers)
    if output in probes.token_answers:
        agreement = compare_vectors(probes.token_answers[output], answers[output])
    elif output == LOGITS:
        agreement = compare_logits(probes.vectors, answers[output], activation)
    else:
        agreement = compare_vectors(probes.vectors, answers[output])
    if output.startswith(SPARSE_EMBEDDING):
        off = length_error(probes.vectors, answers[output])
        agreement = replace(agreement, length_error=off)
    for name, reference in probes.token_answers.items():
        if name != output:
            agreement = judged_with(agreement, name, reference, answers[name])
    return agreement


def runs(probes: Probes) -> int:
    """Return how many inputs a replay runs: every probe, and some of them alone as well."""
    return len(probes) + min(ALONE, len(probes))


def replay_model(
    session: Runs, manifest: Manifest, probes: Probes, limits: BatchLimits
) -> Agreement:
    """Replay all outputs of a model; if it has routes, each with the probes that take it.

    Raises: as `replay` does.
    """
    padding, output = manifest.padding, TASK_OUTPUTS[manifest.task]
    if not manifest.routes:
        return replay(session, probes, padding, limits, output, manifest.activation)
    routing = Routing.of(manifest)
    taken = [routing.route(name or None) for name in probes.names or ("",) * len(probes)]
    parts = []
    for route in manifest.routes:
        places = [place for place, one in enumerate(taken) if one == route]
        if not places:
            raise ProbesError(f"{PROBES_FILE} asks nothing of the route {route.name}")
        chosen = probes.at(places)
        parts.append(replay(session, chosen, padding, limits, route.output))
    return worst(parts)


def _require_widths(probes: Probes, output: str, answers: Mapping[str, Answers]) -> None:
    references = {output: probes.vectors, **probes.token_answers}
    for name, found in answers.items():
        expected, actual = references[name].shape, found.batched.shape
        if expected != actual:
            raise ProbesError(
                f"{PROBES_FILE} holds {name} of shape {expected}, the model yields {actual}: they "
                "do not belong together"
            )


def _by_input(results: Mapping[str, NDArray[np.float32]], real: NDArray[np.bool_]) -> list[_Found]:
    """Return a run's answers by input: one row for each, or one for each token that is kept."""
    found: list[_Found] = []
    for row, mask in enumerate(real):
        one = {}
        for name, values in results.items():
            if name in PER_TOKEN_OUTPUTS:
                one[name] = values[row][mask][kept_places(name, int(mask.sum()))]
            else:
                one[name] = values[row : row + 1]
        found.append(one)
    return found


def _answers(
    output: str, together: Sequence[_Found], alone: Sequence[_Found], places: Sequence[int]
) -> Answers:
    """Return all rows of one output; a probe has several if they are of tokens."""
    ends = np.cumsum([len(found[output]) for found in together])
    return Answers(
        batched=np.concatenate([found[output] for found in together]),
        alone=np.concatenate([found[output] for found in alone]),
        places=[
            row
            for place in places
            for row in range(ends[place] - len(together[place][output]), ends[place])
        ],
    )
