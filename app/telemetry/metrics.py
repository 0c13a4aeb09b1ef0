"""Metrics: counters, gauges and histograms with TEI's names, and their Prometheus text.

They are rendered here because a client library for Prometheus appends `_total` and `_created` to
counters and adds series of its own, which TEI's dashboards do not know. Names, labels and buckets
follow TEI 1.9.3 (router/src/prometheus.rs). A series appears with its first value. Each series is
written by one thread only; a scrape reads without a lock.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self

Kind = Literal["counter", "gauge", "histogram"]
_LONGEST_INPUT = 1 << 19  # tokens; the largest bucket


def _duration_buckets() -> tuple[float, ...]:
    bounds, bound = [], 1e-5
    for _ in range(35):
        bound *= 1.5
        bounds.append(bound)
    return tuple(bounds)


def _powers_of_two(limit: int) -> tuple[float, ...]:
    return tuple(float(1 << k) for k in range(limit.bit_length()) if 1 << k <= limit)


class Counter:
    """A number that only grows, or a gauge that is set."""

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """Counts of values by bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one is +Inf
        self.total = 0.0


class Reading:
    """A number that is kept elsewhere, and read at each scrape."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read

    @property
    def value(self) -> float:
        return self._read()


Series = Counter | Histogram | Reading


class Registry:
    """The series of one service by their names and labels, and the buckets of histograms."""

    def __init__(self) -> None:
        self.durations = _duration_buckets()
        self.sizes = {
            "te_request_input_length": _powers_of_two(_LONGEST_INPUT),
            "te_batch_next_size": _powers_of_two(4096),
            "te_batch_next_tokens": _powers_of_two(1 << 20),
        }
        self.types: dict[str, Kind] = {}
        self.series: dict[str, dict[str, Series]] = {}


class Metrics:
    """All series of one service, some of which may have a label in common."""

    def __init__(self, registry: Registry | None = None, own: str = "") -> None:
        """Take the series to add to, and the label of those that are added here."""
        self._registry = registry or Registry()
        self._own = own
        # As found before, by name and label, or name:
        self._counters: dict[tuple[str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def labelled(self, **values: str) -> Self:
        """Return the same metrics for counting under these labels."""
        return type(self)(self._registry, labels(**values))

    def bound_input_length(self, tokens: int) -> None:
        """End the buckets of input lengths at the longest input; call before the first value."""
        buckets = _powers_of_two(min(tokens, _LONGEST_INPUT))
        self._registry.sizes["te_request_input_length"] = buckets

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        """Add to a counter; `label` is text as `labels` returns it."""
        counter = self._counters.get((name, label))
        if counter is None:
            counter = self._counters[name, label] = self._counter(name, label, "counter")
        counter.value += amount

    def set(self, name: str, value: int) -> None:
        """Set a gauge."""
        gauge = self._counters.get((name, ""))
        if gauge is None:
            gauge = self._counters[name, ""] = self._counter(name, "", "gauge")
        gauge.value = value

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Record a value in a histogram, `times` over."""
        histogram = self._histograms.get(name)
        if histogram is None:
            made = Histogram(self._registry.sizes.get(name, self._registry.durations))
            found = self._series(name, "", "histogram", made)
            assert isinstance(found, Histogram)
            histogram = self._histograms[name] = found
        histogram.counts[bisect_left(histogram.bounds, value)] += times
        histogram.total += value * times

    def read(self, name: str, kind: Kind, read: Callable[[], float], label: str = "") -> None:
        """Register a series whose value is what `read` returns, on the thread that renders."""
        self._registry.types[name] = kind
        self._registry.series.setdefault(name, {})[self._labels(label)] = Reading(read)

    def render(self) -> str:
        """Return all series in Prometheus' text format."""
        return "".join(f"{line}\n" for line in self._lines())

    def _counter(self, name: str, label: str, kind: Kind) -> Counter:
        found = self._series(name, label, kind, Counter())
        assert isinstance(found, Counter)
        return found

    def _series(self, name: str, label: str, kind: Kind, made: Series) -> Series:
        """Return the series of a name and a label; the one that was made if there is none yet."""
        self._registry.types[name] = kind
        return self._registry.series.setdefault(name, {}).setdefault(self._labels(label), made)

    def _labels(self, label: str) -> str:
        return f"{self._own},{label}" if self._own and label else self._own or label

    def _lines(self) -> Iterator[str]:
        for name, labelled in list(self._registry.series.items()):
            yield f"# TYPE {name} {self._registry.types[name]}"
            for label, series in list(labelled.items()):
                if isinstance(series, Histogram):
                    yield from _histogram_lines(name, series, label)
                else:
                    value = _number(series.value)
                    yield f"{name}{{{label}}} {value}" if label else f"{name} {value}"
            yield ""


def labels(**values: str) -> str:
    """Format labels as Prometheus' text has them, such as `err="overloaded"`."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _histogram_lines(name: str, series: Histogram, label: str) -> Iterator[str]:
    cumulated = 0
    before, whole = (f"{label},", f"{{{label}}}") if label else ("", "")
    for bound, count in zip((*series.bounds, None), series.counts, strict=True):
        cumulated += count
        edge = "+Inf" if bound is None else _number(bound)
        yield f'{name}_bucket{{{before}le="{edge}"}} {cumulated}'
    yield f"{name}_sum{whole} {_number(series.total)}"
    yield f"{name}_count{whole} {cumulated}"


def _number(value: float) -> str:
    """Format integers bare, and others with all digits and no exponent, as TEI prints them."""
    if value == int(value):
        return str(int(value))
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    digits = mantissa.replace(".", "")
    return "0." + "0" * (-int(exponent) - 1) + digits
