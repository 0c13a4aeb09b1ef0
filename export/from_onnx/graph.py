"""Source graph: a model that was converted to ONNX elsewhere, checked, and bared for the heads.

Converters name the token embeddings differently, and some pool in the graph as well.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto, helper

from app.model.lookup.hub_cache import graph_files
from app.model.names import (
    LOGITS,
    POOLED_OUTPUTS,
    POOLING_MASK,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Task,
)
from export.errors import ExportError, first_line
from export.from_onnx import forms
from export.graph import assemble
from export.graph.assemble import ENCODER_OUTPUT, GRAPH_ANSWER
from export.graph.reader import import_standard, opset, rename

_TOKEN_OUTPUTS = (ENCODER_OUTPUT, TOKEN_EMBEDDINGS)
# Converters' names for a text's vector. Not `pooler_output`, which is of BERT's pretraining.
_ANSWERS = (SENTENCE_EMBEDDING, "text_embeds", "dense_vecs", "embeddings")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_REQUIRED = _INPUTS[:2]
_OUR_NAMES = (
    ENCODER_OUTPUT,
    TOKEN_EMBEDDINGS,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    POOLING_MASK,
    GRAPH_ANSWER,
    *POOLED_OUTPUTS.values(),
)
_OPSET = 13  # from this version on axes are inputs, as the heads write them


@dataclass(frozen=True, slots=True)
class SourceGraph:
    """A graph that can be run as it is, with the names of its inputs and outputs."""

    path: Path
    inputs: tuple[str, ...]
    output: str | None  # the token embeddings, (B, S, H) float32, or the logits
    bare_output: str  # what the heads call it
    # A text's vector, (B, D) float32, if the graph yields it; else it has token embeddings.
    answer: str | None = None
    quantized: bool = False  # whether it computes in integers of 8 bits
    rows: int | None = None  # the most in a run, if answers would depend on the others


def open_graph(graph: Path, folder: Path, task: Task) -> SourceGraph:
    """Check a snapshot's graph, and copy it to `folder` if its weights are in separate files.

    They have to be copied, since a snapshot consists of links, and the libraries that read weights
    follow neither symbolic nor hard links. A float16 graph is written to `folder` as float32.

    Raises: ExportError for a file that is not a model of this kind, naming what does not fit.
    """
    proto = _load(graph, weights=False).graph
    outside = {_outside(tensor, graph) for tensor in forms.tensors(proto)} - {None}
    if (how := forms.four_bits(proto)) is not None:
        raise ExportError(f"{graph} is rounded to 4 bits ({how}), which is not served")
    quantized = forms.is_quantized(proto)
    rows = 1 if forms.shares_scales(proto) else None
    if forms.holds_halves(proto):
        graph = _widened(graph, folder)
        proto = _load(graph, weights=False).graph
    elif outside:
        for path in graph_files(graph):
            shutil.copyfile(path, folder / path.name)
        graph = folder / graph.name
    inputs = tuple(item.name for item in _inputs(proto, graph))
    if task != "embedding":
        logits = _output(proto, graph, (LOGITS,))
        return SourceGraph(graph, inputs, logits, LOGITS, None, quantized, rows)
    answer = _own_answer(proto, graph)
    held = {item.name for item in proto.output}
    silent = answer is not None and held.isdisjoint(_TOKEN_OUTPUTS)
    output = None if silent else _output(proto, graph, _TOKEN_OUTPUTS)
    return SourceGraph(graph, inputs, output, ENCODER_OUTPUT, answer, quantized, rows)


def bare(source: SourceGraph, width: int, path: Path, answer_width: int | None = None) -> None:
    """Write the graph with its outputs under the names that the heads know.

    `width` is that of its tokens or logits, `answer_width` that of its own vectors if these are
    served. Weights in separate files stay there: `path` must be in the same folder.

    Raises: ExportError if the graph is damaged, of another width, or cannot be converted to an
    operator set that heads can be added to.
    """
    model = _modern(source.path)
    graph = model.graph
    kept: dict[str, tuple[str, tuple[str | int, ...]]] = {}
    if source.output is not None:
        kept[source.output] = source.bare_output, _shape(graph, source.output, width)
    if source.answer is not None and answer_width is not None:
        kept[source.answer] = GRAPH_ANSWER, ("batch", answer_width)
    names = {name: f"source/{name}" for name in _OUR_NAMES}
    names |= {name: ours for name, (ours, _) in kept.items()}
    rename(graph.node, names)
    inputs = _inputs(graph, source.path)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.extend(inputs)
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in kept.values()
    )
    onnx.save_model(model, path)
    try:
        assemble.check(path)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{source.path} is damaged: {first_line(error)}") from None


def _load(path: Path, *, weights: bool) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=weights)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  # the errors of protobuf and onnx share no narrower base
        raise ExportError(f"{path} cannot be read as ONNX: {first_line(error)}") from None


def _widened(graph: Path, folder: Path) -> Path:
    """Write the graph in float32 with its weights beside it, and return its path."""
    model = _load(graph, weights=True)
    forms.widen(model)
    path = folder / graph.name
    data = f"{graph.name}.data"
    onnx.save_model(model, path, save_as_external_data=True, location=data, size_threshold=1024)
    return path


def _outside(tensor: TensorProto, graph: Path) -> Path | None:
    """Return the file of a tensor that is stored outside the graph's file, else None.

    Raises: ExportError if the file is not beside the graph, is missing, or is too short.
    """
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    place: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    name = place.get("location", "")
    if PurePosixPath(name).name != name or not name.startswith(graph.name):
        raise ExportError(
            f"{graph} keeps weights in {name!r}: only files beside it are read, whose names begin "
            f"with {graph.name}"
        )
    path: Path = graph.parent / name
    if not path.is_file():
        raise ExportError(f"{path} is missing: fetch the model again")
    try:
        end = int(place.get("offset", 0)) + int(place.get("length", 0))
    except ValueError:
        raise ExportError(f"{graph} is damaged: it keeps weights at no place in {name}") from None
    if end > path.stat().st_size:
        raise ExportError(f"{path} is shorter than {graph.name} says: fetch the model again")
    return path


def _modern(path: Path) -> onnx.ModelProto:
    """Load the model, converted to the operator set of the heads if it has an older one."""
    model = _load(path, weights=False)
    import_standard(model, _OPSET)  # which the heads use, whatever the model does
    version = opset(model)
    if version >= _OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(_load(path, weights=True), _OPSET)
    except Exception as error:  # noqa: BLE001  # its errors share no narrower base
        raise ExportError(
            f"{path} is of operator set {version} and cannot be brought to {_OPSET}: "
            f"{first_line(error)}"
        ) from None


def _inputs(graph: onnx.GraphProto, path: Path) -> list[onnx.ValueInfoProto]:
    """Return the inputs to feed, checked; early files list the weights among the inputs."""
    weights = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    names = [item.name for item in inputs]
    unknown = [name for name in names if name not in _INPUTS]
    if unknown:
        raise ExportError(f"{path} asks for {', '.join(unknown)}: not supported")
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise ExportError(f"{path} does not ask for {', '.join(missing)}: not supported")
    for item in inputs:
        kind = item.type.tensor_type
        if kind.elem_type != TensorProto.INT64 or len(kind.shape.dim) != 2:
            raise ExportError(f"{path}: {item.name} is not int64 by batch and sequence")
    return inputs


def _own_answer(graph: onnx.GraphProto, path: Path) -> str | None:
    ranks = {item.name: len(item.type.tensor_type.shape.dim) for item in graph.output}
    names = [name for name in _ANSWERS if ranks.get(name) == 2]
    return _output(graph, path, names[:1]) if names else None


def _output(graph: onnx.GraphProto, path: Path, names: Sequence[str]) -> str:
    outputs = {item.name: item.type.tensor_type.elem_type for item in graph.output}
    name = next((one for one in names if one in outputs), None)
    if name is None:
        raise ExportError(
            f"{path} yields {', '.join(outputs) or 'nothing'} instead of {' or '.join(names)}: "
            "export the model from its original weights"
        )
    if outputs[name] != TensorProto.FLOAT:
        raise ExportError(f"{path}: {name} is not float32: export the model from its weights")
    return name


def _shape(graph: onnx.GraphProto, output: str, dimensions: int) -> tuple[str | int, ...]:
    """Return the output's axes, and refuse a width that config.json does not state."""
    [found] = [item for item in graph.output if item.name == output]
    axes = found.type.tensor_type.shape.dim
    width = axes[-1].dim_value if axes else 0
    if width not in {0, dimensions}:
        raise ExportError(
            f"{output} of the graph has {width} dimensions, config.json says {dimensions}: they do "
            "not belong together"
        )
    return ("batch", dimensions) if len(axes) == 2 else ("batch", "sequence", dimensions)
