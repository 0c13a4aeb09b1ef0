"""Names: the closed sets of words that options, manifests and graphs are written in.

Each set is spelt out once, here; larger sets and tables are made from it. This module imports
nothing that takes time, so that options can be read without NumPy: a container's health check does
so every few seconds.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal, get_args

Task = Literal["embedding", "splade", "classifier", "reranker", "multi_vector"]

Dtype = Literal["float32", "bfloat16", "float16", "int16", "int8"]
DtypeChoice = Literal["auto", Dtype]  # what an operator may ask for
# Precisions with graphs of their own, which are exported only on demand. int16 has one that is made
# by itself, where that is possible; the others are computed from the float32 graph.
OWN_GRAPHS: tuple[Dtype, ...] = ("float16", "int8")

Provider = Literal["cpu", "openvino", "cuda", "tensorrt"]
ProviderChoice = Literal["auto", Provider]  # what an operator may ask for
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
GPU_PROVIDERS: tuple[Provider, ...] = ("cuda", "tensorrt")

Pooling = Literal["cls", "mean", "last_token"]  # what a server may be told to pool by
PoolingChoice = Literal[Pooling, "splade"]  # what an operator may ask for
# What a checkpoint may pool by; several are joined by "+".
PoolingMode = Literal[Pooling, "max", "mean_sqrt_len_tokens", "weightedmean"]
# In place of a pooling, for a converted graph that yields the vector of a text itself.
GRAPH_POOLING = "graph"

# In a graph: as converted, one fused operator each, or that without padding (its CUDA kernels).
Attention = Literal["plain", "fused", "packed"]
Integers = Literal["int64", "int32"]  # of a graph's inputs
Side = Literal["left", "right"]
Similarity = Literal["cosine", "dot", "euclidean", "manhattan", "MaxSim"]
# What a graph's answers are compared with: the library that users of the original call, PyTorch by
# this project's own reading of the files, or an ONNX graph as it was found. If that was quantized
# already, the cost of quantizing is unknown.
Reference = Literal[
    "sentence-transformers", "transformers", "pytorch", "model2vec", "onnx-fp32", "onnx-int8"
]
Activation = Literal["sigmoid", "softmax", "none"]  # what turns logits into scores
TokenVectors = Literal["sparse", "multi_vector"]  # `/info`'s names for what single tokens yield
# What the numbers of a vector are sent as, by the names of Voyage's and Cohere's APIs.
OutputDtype = Literal["float", "float16", "int8", "uint8", "binary", "ubinary"]
VectorKind = Literal["dense", TokenVectors]  # `/info`'s names for what a model answers with

# The input (B, S) int64 that is 1 for pooled tokens, in graphs that leave out a prompt's.
POOLING_MASK = "pooling_mask"

# Names of the graph's outputs. `sentence_embedding` is the checkpoint's own pooling and head,
# before any normalization; the pooled ones let a server override the pooling.
TOKEN_EMBEDDINGS = "token_embeddings"  # noqa: S105  # no password: (B, S, H) float32
SENTENCE_EMBEDDING = "sentence_embedding"  # (B, D) float32
SPARSE_EMBEDDING = "sparse_embedding"  # (B, V) float32
LOGITS = "logits"  # (B, L) float32
LEXICAL_WEIGHTS = "lexical_weights"  # (B, S) float32
MULTI_VECTOR_EMBEDDING = "multi_vector_embedding"  # (B, S, D) float32, at length 1
# Outputs with a value or a vector for each token, padding included; others have one for each row.
PER_TOKEN_OUTPUTS = frozenset({TOKEN_EMBEDDINGS, LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING})
POOLED_OUTPUTS: Mapping[Pooling, str] = MappingProxyType(
    {pooling: f"pooled_{pooling}" for pooling in get_args(Pooling)}
)

# The output that each kind of model is served by; its width is `Manifest.dimensions`.
TASK_OUTPUTS: Mapping[Task, str] = MappingProxyType(
    {
        "embedding": SENTENCE_EMBEDDING,
        "splade": SPARSE_EMBEDDING,
        "classifier": LOGITS,
        "reranker": LOGITS,
        "multi_vector": MULTI_VECTOR_EMBEDDING,
    }
)


def usual_activation(labels: int) -> Activation:
    """Return what turns that many logits into scores, if the checkpoint does not say."""
    return "softmax" if labels > 1 else "sigmoid"


_COARSE = re.compile(r"(^|_)(q4|q4f16|bnb4|int4|uint4)($|_)")


def is_coarse(file: str) -> bool:
    """Check whether a graph's file name says that its weights have 4 bits, which is not served."""
    return _COARSE.search(PurePosixPath(file).stem) is not None
