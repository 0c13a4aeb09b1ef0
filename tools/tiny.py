"""Tiny exported models of every kind, made in milliseconds, on an encoder of one layer.

A token looks at nothing but itself, so NumPy can say what every answer must be. Embedders get
their heads as the export grafts them; the others get the outputs that theirs have.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.model.batch import TokenizedInput
from app.model.digests import file_digest
from app.model.manifest import GRAPH_FILE, PROBES_FILE, SCHEMA, TOKENIZER_FILE, Manifest
from app.model.names import (
    LEXICAL_WEIGHTS,
    LOGITS,
    MULTI_VECTOR_EMBEDDING,
    SPARSE_EMBEDDING,
    TASK_OUTPUTS,
    Task,
)
from app.model.parts import Graph, Lexical, MultiVector, Padding, Source
from app.model.quantization import ranges_of
from app.proof.probes import Probes
from app.proof.token_answers import kept_places
from export.config.layers import Head, Layer, Linear, Normalize, TokenHeads, Weights
from export.graph.heads import graft

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "b",
    "c",
    "d",
    "e",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "dog",
    "query",
    ":",
    "hello",
    "world",
    "##s",
    "!",
    ",",
    "é",
]
DIMENSIONS = 16
MAX_LENGTH = 12
PROBE_TEXTS = ("a", "b c", "the cat sat on the mat", "hello world", "dogs", "unknowable", "a b c d")
PROMPTS = {"query": "query: ", "passage": ""}
LABELS: Mapping[Task, tuple[str, ...]] = {
    "classifier": ("sad", "glad", "neither"),
    "reranker": ("LABEL_0",),
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

_random = np.random.default_rng(7)
TABLE = _random.normal(size=(len(WORDS), DIMENSIONS)).astype(np.float32)
TYPES = _random.normal(size=(2, DIMENSIONS)).astype(np.float32)
HEADS: Mapping[Task, NDArray[np.float32]] = {
    "classifier": _random.normal(size=(DIMENSIONS, 3)).astype(np.float32),
    "reranker": _random.normal(size=(DIMENSIONS, 1)).astype(np.float32),
    "splade": _random.normal(size=(DIMENSIONS, len(WORDS))).astype(np.float32),
    "multi_vector": _random.normal(size=(DIMENSIONS, 6)).astype(np.float32),
}
LEXICAL = _random.normal(size=(DIMENSIONS, 1)).astype(np.float32)
LEXICAL_BIAS = np.float32(3)  # about half of the words have a weight then
SPECIAL_IDS = (0, 1, 2, 3)
GAIN = 4  # factor of logits


def token_vectors(
    ids: NDArray[np.int64], types: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """The token embeddings of one input, (S, D)."""
    found: NDArray[np.float32] = np.tanh(
        TABLE[ids] + TYPES[np.zeros_like(ids) if types is None else types]
    )
    return found


def reference(
    ids: NDArray[np.int64], types: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """The mean-pooled vector of one input, before normalization: (D,)."""
    mean: NDArray[np.float32] = token_vectors(ids, types).mean(axis=0, dtype=np.float32)
    return mean


def logits(
    task: Task, ids: NDArray[np.int64], types: NDArray[np.int64] | None, gain: int = GAIN
) -> NDArray[np.float32]:
    """The logits of a classifier or reranker for one input, (L,)."""
    found: NDArray[np.float32] = gain * reference(ids, types) @ HEADS[task]
    return found


def sparse(ids: NDArray[np.int64], types: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """The sparse vector of a SPLADE model for one input, (V,)."""
    scores = token_vectors(ids, types) @ HEADS["splade"]
    found: NDArray[np.float32] = np.log1p(np.maximum(scores, 0)).max(axis=0)
    return found


def lexical_weights(ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The weight of each token of one input, (S,)."""
    found: NDArray[np.float32] = np.maximum(token_vectors(ids) @ LEXICAL + LEXICAL_BIAS, 0)[:, 0]
    return found


def multi_vectors(
    ids: NDArray[np.int64], types: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """The vector of each token of one input, to compare: (S, 6)."""
    found = token_vectors(ids, types) @ HEADS["multi_vector"]
    lengths: NDArray[np.float32] = np.linalg.norm(found, axis=1, keepdims=True)
    return found / lengths


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector at length 1."""
    return vector / np.float32(np.linalg.norm(vector))


def tokenizer() -> Tokenizer:
    """WordPiece over `WORDS`, with truncation and padding of its own that the service must undo."""
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token=WORDS[1]))
    made.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    made.enable_padding(length=32)
    made.enable_truncation(5)
    return made


def encoded(*texts: str) -> TokenizedInput:
    """Return the encoding that the service must find for a text or a pair that fits."""
    plain = tokenizer()
    plain.no_padding()
    plain.no_truncation()
    found = plain.encode(*texts)
    return TokenizedInput(np.array(found.ids, np.int64), np.array(found.type_ids, np.int64))


def ids_of(text: str) -> NDArray[np.int64]:
    """Return the ids that the service must find for a text that fits."""
    return encoded(text).input_ids


def build(
    folder: Path, task: Task = "embedding", *, whole: bool = False, gain: int = GAIN
) -> Manifest:
    """Write a complete exported model to `folder`.

    A whole embedder also has weights and vectors for tokens, as BGE-M3 has. With a large gain all
    logits are so large that a score is 0 or 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs, outputs = _write_graph(folder, task, whole=whole, gain=gain)
    tokenizer().save(str(folder / TOKENIZER_FILE))
    probes = _probes(task, whole=whole, gain=gain)
    probes.write(folder / PROBES_FILE)
    width = {"embedding": DIMENSIONS} | {kind: head.shape[1] for kind, head in HEADS.items()}
    manifest = Manifest(
        schema=SCHEMA,
        source=Source("tests/tiny", None, "BertModel", "bert"),
        fingerprint="f" * 64,
        task=task,
        pooling="mean" if task == "embedding" else None,
        dimensions=width[task],
        max_input_length=MAX_LENGTH,
        vocabulary_size=len(WORDS),
        padding=Padding(id=0, type_id=0, side="right"),
        normalize=True,
        similarity="cosine",
        prompts=PROMPTS,
        default_prompt_name=None,
        graphs=(Graph(GRAPH_FILE, "float32", ("cpu", "cuda", "tensorrt"), inputs, outputs),),
        files={},
        tools={},
        created="2026-01-01T00:00:00+00:00",
        labels=LABELS.get(task, ()),
        lexical=Lexical(SPECIAL_IDS) if whole else None,
        multi_vector=_multi_vector(task, whole=whole),
        ranges=ranges_of(probes.vectors) if task == "embedding" else None,
    )
    return seal(folder, manifest)


def _multi_vector(task: Task, *, whole: bool) -> MultiVector | None:
    if whole:
        return MultiVector(skipped_id=2)
    return MultiVector() if task == "multi_vector" else None


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Record the digests of the folder's files in its manifest."""
    files = {path.name: file_digest(path) for path in folder.iterdir() if path.suffix != ".json"}
    files[TOKENIZER_FILE] = file_digest(folder / TOKENIZER_FILE)
    sealed = replace(manifest, files=files)
    sealed.write(folder)
    return sealed


def _probes(task: Task, *, whole: bool, gain: int) -> Probes:
    answers: Mapping[Task, Callable[[TokenizedInput], NDArray[np.float32]]] = {
        "embedding": lambda one: reference(one.input_ids, one.token_type_ids),
        "splade": lambda one: sparse(one.input_ids, one.token_type_ids),
        "classifier": lambda one: logits("classifier", one.input_ids, one.token_type_ids, gain),
        "reranker": lambda one: logits("reranker", one.input_ids, one.token_type_ids, gain),
        "multi_vector": lambda _: np.empty(0, np.float32),
    }
    inputs = tuple(encoded(text) for text in PROBE_TEXTS)
    vectors = np.stack([answers[task](one) for one in inputs])
    tokens = {
        name: np.concatenate([said(one.input_ids)[kept_places(name, len(one))] for one in inputs])
        for name, said in _token_answers(task, whole=whole).items()
    }
    return Probes(PROBE_TEXTS, inputs, vectors, tokens)


def _token_answers(
    task: Task, *, whole: bool
) -> Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.float32]]]:
    if whole:
        return {LEXICAL_WEIGHTS: lexical_weights, MULTI_VECTOR_EMBEDDING: multi_vectors}
    return {MULTI_VECTOR_EMBEDDING: multi_vectors} if task == "multi_vector" else {}


def _token_heads(task: Task, *, whole: bool) -> tuple[TokenHeads, Weights]:
    weigh = Linear(Path("sparse"), DIMENSIONS, 1, "ReLU")
    compare = Linear(Path("vectors"), DIMENSIONS)
    weights: dict[Layer, Mapping[str, NDArray[np.float32]]] = {
        weigh: {"weight": LEXICAL.T, "bias": np.array([LEXICAL_BIAS])},
        compare: {"weight": HEADS["multi_vector"].T, "bias": np.zeros(6, np.float32)},
        Normalize(): {},
    }
    heads = TokenHeads(
        lexical=(weigh,) if whole else (),
        multi_vector=(compare, Normalize()) if whole or task == "multi_vector" else (),
    )
    return heads, weights


def _write_graph(
    folder: Path, task: Task, *, whole: bool, gain: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if task not in {"embedding", "multi_vector"}:
        onnx.save(_with_head(task, gain), folder / GRAPH_FILE)
        return INPUTS, (TASK_OUTPUTS[task],)
    bare = folder / "bare.onnx"
    onnx.save(encoder(), bare)
    head = Head(("mean",)) if task == "embedding" else None
    heads, weights = _token_heads(task, whole=whole)
    names = graft(bare, folder, head, weights, heads)
    bare.unlink()
    return names


def encoder() -> onnx.ModelProto:
    """tanh(table[ids] + types[type ids]), with the inputs and output that a converted BERT has."""
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ("b", "s", DIMENSIONS)
    )
    return _model(_encoder_nodes(), [output], {"table": TABLE, "types": TYPES})


def _encoder_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["segments"]),
        helper.make_node("Add", ["words", "segments"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["last_hidden_state"]),
    ]


def _with_head(task: Task, gain: int) -> onnx.ModelProto:
    """The encoder with the output of another kind of model; padding counts for nothing."""
    width = HEADS[task].shape[1]
    nodes = [
        *_encoder_nodes(),
        helper.make_node("MatMul", ["last_hidden_state", "head"], ["scores"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "two"], ["column"]),
    ]
    if task == "splade":
        nodes += [
            helper.make_node("Relu", ["scores"], ["positive"]),
            helper.make_node("Mul", ["positive", "column"], ["real"]),
            helper.make_node("ReduceMax", ["real", "one"], ["largest"], keepdims=0),
            helper.make_node("Add", ["largest", "unity"], ["shifted"]),
            helper.make_node("Log", ["shifted"], [SPARSE_EMBEDDING]),
        ]
    else:
        nodes += [
            helper.make_node("Mul", ["scores", "column"], ["real"]),
            helper.make_node("ReduceSum", ["real", "one"], ["total"], keepdims=0),
            helper.make_node("ReduceSum", ["column", "one"], ["count"], keepdims=0),
            helper.make_node("Div", ["total", "count"], ["mean"]),
            helper.make_node("Mul", ["mean", "gain"], [LOGITS]),
        ]
    output = helper.make_tensor_value_info(TASK_OUTPUTS[task], TensorProto.FLOAT, ("b", width))
    constants = {
        "table": TABLE,
        "types": TYPES,
        "head": HEADS[task],
        "one": np.array([1]),
        "two": np.array([2]),
        "unity": np.array(1, np.float32),
        "gain": np.array(gain, np.float32),
    }
    return _model(nodes, [output], constants)


def _model(
    nodes: list[onnx.NodeProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, NDArray[np.generic]],
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ("b", "s")) for name in INPUTS]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
