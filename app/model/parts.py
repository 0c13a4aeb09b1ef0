"""Parts of a manifest: a model's source, graphs, routes, certificates and output types."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from app.model.names import Attention, Dtype, Integers, OutputDtype, Provider, Reference, Side

_ROUNDED = 0.999  # what rounding to a few digits may take from a value


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of the weights: an id of the Hugging Face Hub, or a folder's name."""

    id: str
    revision: str | None
    architecture: str
    model_type: str


@dataclass(frozen=True, slots=True)
class Padding:
    """The padding of a batch: ids of the padding tokens, and the side they go to."""

    id: int
    type_id: int
    side: Side


GraphNames = tuple[tuple[str, ...], tuple[str, ...]]  # of a graph's inputs and of its outputs


@dataclass(frozen=True, slots=True)
class Graph:
    """One ONNX file of the folder, with the providers that may run it."""

    file: str
    dtype: Dtype
    providers: tuple[Provider, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fingerprint: str | None = None  # of its vector space, if that is not the model's
    attention: Attention = "plain"
    rows: int | None = None  # at most this many in a run, since rows of a run share their rounding
    integers: Integers = "int64"  # the type of its inputs


@dataclass(frozen=True, slots=True)
class Route:
    """One of several ways through a model, such as one for queries and one for documents."""

    name: str
    asked_as: tuple[str, ...]  # the names of prompts by which a request chooses it
    output: str  # of its graph
    max_input_length: int  # tokens, special tokens included
    special_tokens: bool = True  # whether the tokenizer adds its special tokens
    graph: Graph | None = None  # None: the model's own graph


@dataclass(frozen=True, slots=True)
class Certificate:
    """The closeness of one graph on one machine to the reference, over the probes."""

    graph: str
    provider: Provider
    compute_dtype: Dtype
    machine: str
    reference: Reference
    probes: int
    worst_cosine: float
    mean_cosine: float
    largest_error: float  # of any component of the unit vectors, or of any logit
    created: str  # ISO 8601, UTC
    # Missing in folders from before these were measured.
    first_percentile: float | None = None  # of the cosines
    neighbour_overlap: float | None = None  # share of the ten nearest probes that stay the same
    batch_cosine: float | None = None  # worst, of the same input alone and in a batch
    largest_score_error: float | None = None  # of classifiers and rerankers, as is the next
    largest_logit: float | None = None  # of the reference, in magnitude
    longest_input: int | None = None  # tokens
    # Of embedding models that also have a vector or a lexical weight for each token.
    token_cosine: float | None = None  # worst, of a token's vector
    lexical_cosine: float | None = None  # of the lexical weights of all probes, as one vector
    lexical_error: float | None = None  # largest, of a lexical weight
    length_error: float | None = None  # of sparse vectors, the largest as a share of a length
    settings: tuple[str, ...] = ()  # of the provider, that it need not know but took: NAME=VALUE


@dataclass(frozen=True, slots=True)
class OutputCost:
    """The cost of an output type to a model's unit vectors, beside float32."""

    dtype: OutputDtype  # int8 and binary stand for uint8 and ubinary too
    texts: int  # that were compared with each other
    neighbour_overlap: float  # share of each one's ten nearest that stay the same
    rank_correlation: float  # Spearman's, of the similarities of all pairs
    sample: str  # the first vector of the probes, in base64, as little-endian numbers


@dataclass(frozen=True, slots=True)
class Lexical:
    """A sparse vector beside the dense one: the largest weight of each token id."""

    ignored_ids: tuple[int, ...]  # tokens that never count


@dataclass(frozen=True, slots=True)
class MultiVector:
    """A vector for each token, compared by the sum of the largest similarities."""

    # The token that begins an input and has no vector, if there is one.
    skipped_id: int | None = None


@dataclass(frozen=True, slots=True)
class Ranges:
    """The largest components of the model's unit vectors, by the number of dimensions kept.

    It is one number for all components, so that products of quantized vectors are still in
    proportion to cosines. Components of a vector that was cut grow as it gets its length back.
    """

    sizes: tuple[int, ...]  # ascending, from 1 to the model's dimensions
    largest: tuple[float, ...]  # of vectors cut to that many dimensions, or to more before the next

    def largest_of(self, dimensions: int) -> float:
        """Return the largest magnitude of a component of unit vectors of that many dimensions."""
        return self.largest[bisect_right(self.sizes, dimensions) - 1]

    def fault(self, dimensions: int) -> str | None:
        """Say why these cannot be the ranges of a model of that many dimensions, or return None."""
        ascending = all(less < more for less, more in pairwise(self.sizes))
        if not ascending or self.sizes[:1] != (1,) or self.sizes[-1] != dimensions:
            return f"sizes: {list(self.sizes)} do not ascend from 1 to {dimensions}"
        if len(self.largest) != len(self.sizes):
            return f"largest: {len(self.largest)} values for {len(self.sizes)} sizes"
        for size, value in zip(self.sizes, self.largest, strict=True):
            if not _ROUNDED * size**-0.5 <= value <= 1:
                return f"largest: {value} is not that of a unit vector of {size} dimensions"
        return None
