"""Card: the README of an exported folder, which says what the model is and how it was proved."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from app.model.manifest import Manifest
from app.model.names import Activation, OutputDtype, Reference
from app.model.parts import Certificate
from app.proof.bounds import yields_logits

FILE_NAME = "README.md"

_SCORES: Mapping[Activation, str] = MappingProxyType(
    {
        "sigmoid": "a sigmoid of each logit",
        "softmax": "a softmax over the logits",
        "none": "the logits as they are",
    }
)
_REFERENCES: Mapping[Reference, str] = MappingProxyType(
    {
        "sentence-transformers": "sentence-transformers, loading the checkpoint",
        "transformers": "the pipeline of transformers, loading the checkpoint",
        "pytorch": "the original in PyTorch, by this program's reading of its files",
        "model2vec": "Model2Vec's average of its vectors, by this program's reading of its files",
        "onnx-fp32": "the ONNX graph as it was found",
        "onnx-int8": "the quantized ONNX graph as it was found, not its original in float32",
    }
)
# By the type that was measured: the names of those with the same figures, and bits of a number.
_OUTPUT_TYPES: Mapping[OutputDtype, tuple[str, int]] = MappingProxyType(
    {
        "float": ("float", 32),
        "float16": ("float16", 16),
        "int8": ("int8, uint8", 8),
        "uint8": ("uint8", 8),
        "binary": ("binary, ubinary", 1),
        "ubinary": ("ubinary", 1),
    }
)


def write(folder: Path, manifest: Manifest) -> None:
    """Write the README of a folder that has been proved."""
    parts = (_facts(manifest), _table(manifest), _output_types(manifest), _closing())
    text = "\n\n".join("\n".join(part) for part in map(tuple, parts) if part)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def _facts(manifest: Manifest) -> Iterator[str]:
    model = manifest.source
    yield f"# {model.id}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| source | {model.id}, revision {model.revision or 'not known'} |"
    yield f"| architecture | {model.architecture} |"
    yield f"| task | {manifest.task} |"
    if manifest.pooling is not None:
        without = ", without the prompt" if manifest.leaves_out_prompts else ""
        normalized = ", normalized" if manifest.normalize else ""
        source = f" (by {manifest.pooling_source})" if manifest.pooling_source else ""
        yield f"| pooling | {manifest.pooling}{without}{normalized}{source} |"
    yield f"| dimensions | {manifest.dimensions} |"
    if manifest.labels:
        yield f"| scores | {_SCORES[manifest.scored_by]} |"
    if manifest.token_outputs:
        yield f"| for each token | {', '.join(manifest.token_outputs)} |"
    for route in manifest.routes:
        asked = ", ".join(f"`{name}`" for name in route.asked_as)
        default = ", the default" if route.name == manifest.default_route else ""
        yield (
            f"| route {route.name}{default} | prompt names {asked}; "
            f"{route.max_input_length} tokens |"
        )
    yield f"| maximum length | {manifest.max_input_length} tokens |"
    yield f"| prompts | {', '.join(manifest.prompts) or 'none'} |"
    if manifest.default_prompt is not None:
        yield f"| before each text, unless a prompt is named | `{manifest.default_prompt}` |"
    yield f"| proved against | {_REFERENCES[manifest.certificates[0].reference]} |"
    yield f"| vector space | `{manifest.fingerprint}` |"
    yield f"| exported | {manifest.created} |"


def _table(manifest: Manifest) -> Iterator[str]:
    """Yield a table of the certificates, with figures for this kind of model, and notes on it."""
    logits = yields_logits(manifest.task)
    columns = (
        ("largest error of a logit", "of a score")
        if logits
        else ("worst cosine", "first percentile", "mean", "overlap of ten nearest")
    )
    names = (
        "precision",
        "provider",
        *columns,
        "alone and in a batch",
        "probes",
        "longest",
        "graph",
    )
    yield "How close its answers come to the original model's:"
    yield ""
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for one in manifest.certificates:
        figures = _of_logits(one) if logits else _of_vectors(one)
        row = (
            one.compute_dtype,
            one.provider,
            *figures,
            _number(one.batch_cosine, 7),
            str(one.probes),
            "" if one.longest_input is None else f"{one.longest_input} tokens",
            f"`{one.graph}`",
        )
        yield f"| {' | '.join(row)} |"
    yield ""
    yield from filter(None, map(_of_tokens, manifest.certificates))
    halves = [graph.file for graph in manifest.graphs if graph.dtype == "float16"]
    if halves:
        yield (
            f"`--dtype float16` runs {' or '.join(f'`{file}`' for file in halves[::-1])} on NVIDIA "
            "GPUs, after each start has replayed probes there; the table says what a CPU makes of "
            "it, which rounds less often."
        )
        yield ""
    for graph in manifest.graphs:
        if graph.fingerprint is not None:
            yield (
                f"`--dtype {graph.dtype}` runs `{graph.file}`, which is smaller, faster, and does "
                "not give the original's answers: the table says what it costs. Its vectors are a "
                f"space of their own, `{graph.fingerprint}`: do not mix them with others."
            )
            yield ""
    yield from dict.fromkeys(f"Measured on {one.machine}." for one in manifest.certificates)


def _output_types(manifest: Manifest) -> Iterator[str]:
    """Yield a table of what each output type costs, and notes on it; nothing if none is known."""
    if not manifest.output_types:
        return
    yield "What it costs to take its vectors in fewer bytes, beside float32:"
    yield ""
    yield "| output type | bytes of a vector | overlap of ten nearest | rank correlation | texts |"
    yield "|---|---|---|---|---|"
    for one in manifest.output_types:
        names, bits = _OUTPUT_TYPES[one.dtype]
        size = -(-manifest.dimensions * bits // 8)
        figures = f"{one.neighbour_overlap:.4f} | {one.rank_correlation:.5f} | {one.texts}"
        yield f"| {names} | {size} | {figures} |"
    yield ""
    yield (
        "Vectors of int8 were compared by their cosine, which is about that of the floats, and "
        "bits by how many differ; uint8 is 128 more and wants a distance, or the 128 taken off. "
        "The rank correlation is Spearman's, over all pairs of the texts."
    )


def _of_tokens(one: Certificate) -> str:
    """Return the figures for single tokens; "" if the model has no outputs for them."""
    figures = []
    if one.token_cosine is not None:
        figures.append(f"worst cosine of a token's vector {one.token_cosine:.7f}")
    if one.lexical_cosine is not None and one.lexical_error is not None:
        figures.append(f"cosine of the lexical weights {one.lexical_cosine:.7f}")
        figures.append(f"largest error of one {one.lexical_error:.1e}")
    if not figures:
        return ""
    return f"* {one.compute_dtype} on {one.provider}: {', '.join(figures)}"


def _of_vectors(one: Certificate) -> tuple[str, ...]:
    return (
        _number(one.worst_cosine, 7),
        _number(one.first_percentile, 7),
        _number(one.mean_cosine, 7),
        _number(one.neighbour_overlap, 4),
    )


def _of_logits(one: Certificate) -> tuple[str, ...]:
    error = one.largest_score_error
    return f"{one.largest_error:.1e}", "" if error is None else f"{error:.1e}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _closing() -> Iterator[str]:
    yield (
        "Cosines are to the original model's vectors over the probes in `probes.npz`; the column "
        "before the number of probes is the worst cosine of the same input alone and in a batch. "
        "`python -m export --check FOLDER` measures them on another machine."
    )
