"""The subjects of a run of the bench: our servers, their bare sessions, libraries and peers."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from app.inference.providers import machine
from tools.bench.bare import Bare, Computed, Shape
from tools.bench.kinds import Kind, kinds
from tools.bench.load import (
    OPENAI,
    OURS,
    Dialect,
    Running,
    get,
    load,
    resident_megabytes,
    reused_rows,
    serving,
)
from tools.bench.loads import asking
from tools.bench.loads.texts import PASSAGE_WORDS, QUERY_WORDS, Fresh, in_words
from tools.bench.peers import gguf, tei
from tools.bench.peers.child import COMPILED, REFERENCE, Child, child
from tools.bench.peers.infinity import THEIRS, infinity
from tools.bench.peers.infinity import version as infinity_version
from tools.bench.peers.llama import llama
from tools.bench.peers.llama import version as llama_version
from tools.bench.rate import Rate
from tools.bench.subject import AROUND, Subject, compared
from tools.tiny import WORDS, build

CHECKED = 150  # queries, and as many passages, whose vectors are compared
AROUND_CONNECTIONS = 16
Ask = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Guests:
    """Other projects' servers to measure beside ours, where options name them."""

    infinity: Path | None = None  # the Python of its environment
    llama: Path | None = None  # the program
    tei: str | None = None  # the address


@dataclass(frozen=True, slots=True)
class Options:
    """The subjects to measure, and the duration."""

    model_id: str
    folders: Sequence[Path]  # exported models; the first is what is served by default
    original: Path | None  # the checkpoint, for what runs that
    guests: Guests
    seconds: float  # per load and round
    quick: bool = False  # only our server


class Company:
    """All subjects of a run, which end with the exit stack."""

    def __init__(self, options: Options, running: ExitStack) -> None:
        self._options = options
        self._running = running
        self.subjects: list[Subject] = []
        self.limits: dict[str, Subject] = {}  # the bare session of each of our servers, by name
        self.sessions: dict[str, Bare] = {}
        self.first_runs: dict[str, dict[Shape, float]] = {}
        self.notes: list[str] = []  # on each of our servers, and on missing peers
        self._asking: list[tuple[Subject, Ask]] = []
        found = kinds(options.folders)
        for kind in islice(found, 1) if options.quick else found:
            self._serve(kind)
        if not options.quick and options.original is not None:
            reference = running.enter_context(child(REFERENCE, options.original))
            self._add_library("sentence-transformers, float32", reference, None)
            self._invite(options.original)
            self._compare(reference)
        self.around = self._serve_next_to_nothing()

    def _serve(self, kind: Kind) -> None:
        """Start one of our servers and its bare session, unless one computes the same already."""
        with ExitStack() as started:
            server, ready = started.enter_context(serving(str(kind.folder), kind.dtype))
            info = get(server, "/info")
            computed = Computed(info["provider"], info["model_dtype"], kind.folder)
            if computed.name in self.limits:
                return
            self._running.push(started.pop_all())
        self.notes.append(
            f"- {computed.name}: {info['provider_reason']}; ready after {ready:.2f} s"
        )
        self.first_runs[computed.name] = Bare(computed).first_runs()
        bare = self.sessions[computed.name] = Bare(computed)
        one_core = Bare(computed, threads=1)
        for session in (bare, one_core):
            session.learn()
        seconds, supply = self._options.seconds, self._supply()
        loads = asking.of_server(server, supply, seconds, quick=self._options.quick)
        if not self._options.quick:
            loads |= asking.of_ours(server, supply)
        self._add_server(computed.name, server, OURS, loads, ours=True)
        limit = Subject(
            f"bare session, {computed.name}",
            asking.of_bare(bare, one_core, self._supply(), seconds),
        )
        self.limits[computed.name] = limit
        self.subjects.append(limit)

    def _invite(self, original: Path) -> None:
        """Start what torch compiles, and the guests."""
        guests, seconds = self._options.guests, self._options.seconds
        if shutil.which("g++") is None:
            self.notes.append("- torch.compile is not measured: it needs g++")
        else:
            cores = machine.usable_cores()
            for dtype in ("float32", "bfloat16")[: 1 + machine.computes_bfloat16()]:
                both, one = (
                    self._running.enter_context(child(COMPILED, original, dtype, str(threads)))
                    for threads in (cores, 1)
                )
                self._add_library(f"torch.compile, {dtype}", both, one)
        if guests.infinity is not None:
            server = self._running.enter_context(infinity(guests.infinity, original))
            name = f"infinity {infinity_version(guests.infinity)}, torch, float32"
            loads = asking.of_server(server, self._supply(), seconds, THEIRS)
            self._add_server(name, server, THEIRS, loads)
        if guests.llama is not None:
            weights: gguf.Weights
            for weights in get_args(gguf.Weights):
                theirs = self._running.enter_context(llama(guests.llama, original, weights))
                name = f"llama.cpp {llama_version(guests.llama)}, {weights}"
                loads = asking.of_server(theirs, self._supply(), seconds, OPENAI)
                self._add_server(name, theirs, OPENAI, loads)
        if guests.tei is not None:
            there = tei.Tei(guests.tei)
            loads = asking.of_server(there, self._supply(), seconds)
            self._add_server(tei.name(there.info()), there, OURS, loads)

    def _compare(self, reference: Child) -> None:
        """Compare everyone's vectors with those of sentence-transformers.

        Raises: ValueError where a TEI's vectors are another model's.
        """
        texts = [
            *Fresh(QUERY_WORDS, seed=3).take(CHECKED),
            *Fresh(PASSAGE_WORDS, seed=4, suits=self._fits).take(CHECKED),
        ]
        expected = reference.vectors(texts)
        for subject, ask in self._asking:
            subject.agreement = compared(ask, texts, expected)
            if subject.name.startswith(tei.NAME):
                fault = tei.other_vectors(subject.agreement)
                if fault is not None:
                    raise ValueError(fault)
        for name, limit in self.limits.items():
            [server] = [one for one in self.subjects if one.name == name]
            limit.agreement = server.agreement  # the same graph

    def _serve_next_to_nothing(self) -> Subject:
        """Start a server of a model that costs next to nothing."""
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory())) / "tiny"
        build(folder)
        server, _ = self._running.enter_context(serving(str(folder), "float32"))
        supply, seconds = self._supply(), self._options.seconds

        def measure(texts: Sequence[str]) -> Rate:
            known = in_words(texts, [word for word in WORDS if word.isalpha()])
            return load(server, known, AROUND_CONNECTIONS, seconds)

        spend = partial(supply.spend, AROUND, supply.queries, seconds, measure)
        found = Subject(AROUND, {AROUND: spend}, reused=partial(reused_rows, server))
        self.subjects.append(found)
        return found

    def _add_server(
        self,
        name: str,
        server: Running,
        dialect: Dialect,
        loads: asking.Loads,
        *,
        ours: bool = False,
    ) -> None:
        memory, reused = partial(resident_megabytes, server), partial(reused_rows, server)
        subject = Subject(name, loads, megabytes=memory, ours=ours, serves=True)
        if ours:
            subject.reused = reused
        self.subjects.append(subject)
        self._asking.append((subject, asking.vectors_of(server, dialect)))

    def _add_library(self, name: str, library: Child, one_core: Child | None) -> None:
        loads = asking.of_child(library, one_core, self._supply(), self._options.seconds)
        self.subjects.append(Subject(name, loads))
        self._asking.append((self.subjects[-1], library.vectors))

    def _supply(self) -> asking.Supply:
        return asking.Supply(self._fits)

    def _fits(self, text: str) -> bool:
        return next(iter(self.sessions.values())).fits(text)
