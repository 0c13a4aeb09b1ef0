"""One run of the bench over one model: its rounds, and the lines of its report."""

import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date

from app.inference.providers import machine
from tools.bench import tables
from tools.bench.bare import Shape
from tools.bench.company import Company, Options
from tools.bench.loads.texts import PASSAGE_WORDS, QUERY_WORDS
from tools.bench.rounds import rounds
from tools.bench.subject import Subject

ROUNDS, QUICK_ROUNDS = 4, 2


class Bench:
    """One run; all who took part are in `subjects` when it is over."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rounds = QUICK_ROUNDS if options.quick else ROUNDS
        self._company: Company | None = None

    def title(self) -> str:
        """The model, the machine and the date."""
        here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
        return f"{self._options.model_id} on {here}"

    @property
    def subjects(self) -> Sequence[Subject]:
        """All that took part, as far as they have been measured."""
        return () if self._company is None else self._company.subjects

    def report(self) -> Iterator[str]:
        """Measure everything; return the lines of the report."""
        with ExitStack() as running:
            company = self._company = Company(self._options, running)
            repeated: dict[str, dict[Shape, list[float]]] = {}
            for progress in rounds(company.subjects, self._rounds):
                print(progress, file=sys.stderr, flush=True)  # noqa: T201  # it takes minutes
                for name, session in company.sessions.items():
                    for shape, taken in session.repeated_runs().items():
                        repeated.setdefault(name, {}).setdefault(shape, []).extend(taken)
            yield from self._lines(company, repeated)

    def _lines(
        self, company: Company, repeated: dict[str, dict[Shape, list[float]]]
    ) -> Iterator[str]:
        """Write the report while all subjects still run, since it tells their memory."""
        yield f"{self.title()}\n"
        yield f"{self._method()}\n"
        yield from company.notes
        measured = [one for one in company.subjects if one is not company.around]
        ours = [one for one in measured if one.ours]
        peers = [one for one in measured if one.serves and not one.ours]
        costs = {
            name: {
                shape: (statistics.median(runs), company.first_runs[name][shape])
                for shape, runs in taken.items()
            }
            for name, taken in repeated.items()
        }
        yield "\nTexts a second, and in brackets a CPU-second:\n"
        yield from tables.servers(measured)
        yield ""
        yield from tables.models(measured)
        yield "\nHow long a query takes:\n"
        yield from tables.latencies(measured, company.limits)
        yield "\nWhat a server makes of its model:\n"
        yield from tables.shares(ours, company.limits)
        yield ""
        yield from tables.shapes(costs)
        yield f"\n{tables.around(company.around)}"
        yield f"\n{tables.reused([*ours, company.around])}"
        if peers:
            yield "\nBeside the other servers:\n"
            yield from tables.times(ours, peers)

    def _method(self) -> str:
        """Describe the method in a few sentences."""
        by = "wrk" if shutil.which("wrk") else "a client in Python, which takes CPU time itself"
        (fewest, most), (least, longest) = QUERY_WORDS, PASSAGE_WORDS
        return (
            f"{self._rounds} rounds behind one that counts for nothing; in each, all take turns at "
            f"each load, {self._options.seconds:g} s at a time. Queries of {fewest} to {most} words, "
            f"passages of {least} to {longest}, none asked twice; load by {by}."
        )
