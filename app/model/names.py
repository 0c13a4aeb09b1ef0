"""Names: the closed sets of words that options, manifests and graphs are written in.

Each set is spelt out once, here; larger ones and tables are made from it. Nothing is imported that
takes time, so that options can be read without NumPy: a container's health check does so every
few seconds.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal, get_args

Task = Literal["embedding", "splade", "classifier", "reranker", "multi_vector"]

Dtype = Literal["float32", "bfloat16", "float16", "int8"]
DtypeChoice = Literal["auto", Dtype]  # what may be asked for
# Precisions that have graphs of their own, which are made where they are asked for. The others are
# computed of the float32 one.
OWN_GRAPHS: tuple[Dtype, ...] = ("float16", "int8")

Provider = Literal["cpu", "openvino", "cuda", "tensorrt"]
ProviderChoice = Literal["auto", Provider]  # what may be asked for
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
GPU_PROVIDERS: tuple[Provider, ...] = ("cuda", "tensorrt")

Pooling = Literal["cls", "mean", "last_token"]  # what a server may be told to pool by
PoolingChoice = Literal[Pooling, "splade"]  # what may be asked for in place of a checkpoint's own
# What a checkpoint may pool by, alone or several joined by "+".
PoolingMode = Literal[Pooling, "max", "mean_sqrt_len_tokens", "weightedmean"]
# What stands for the pooling where a converted graph yields the vector of a text by itself.
GRAPH_POOLING = "graph"

# Of a graph: as converted, one operator each, or the same without padding (its CUDA kernels).
Attention = Literal["plain", "fused", "packed"]
Side = Literal["left", "right"]
Similarity = Literal["cosine", "dot", "euclidean", "manhattan", "MaxSim"]
# Whose answers a graph is compared with: those of the library that users of the original call, of
# PyTorch by this project's own reading of the files, or of an ONNX graph as it was found; of one
# that was quantized already, what that had cost is not known.
Reference = Literal["sentence-transformers", "transformers", "pytorch", "onnx-fp32", "onnx-int8"]
Activation = Literal["sigmoid", "softmax", "none"]  # what makes scores of logits
TokenVectors = Literal["sparse", "multi_vector"]  # as `/info` calls what single tokens give

# The input (B, S) int64 that is 1 where a token is pooled, of graphs that leave out a prompt's.
POOLING_MASK = "pooling_mask"

# Names of the graph's outputs. `sentence_embedding` is the checkpoint's own pooling and head,
# before any normalization; the pooled ones let a server override the pooling.
TOKEN_EMBEDDINGS = "token_embeddings"  # noqa: S105  # no password: (B, S, H) float32
SENTENCE_EMBEDDING = "sentence_embedding"  # (B, D) float32
SPARSE_EMBEDDING = "sparse_embedding"  # (B, V) float32
LOGITS = "logits"  # (B, L) float32
LEXICAL_WEIGHTS = "lexical_weights"  # (B, S) float32
MULTI_VECTOR_EMBEDDING = "multi_vector_embedding"  # (B, S, D) float32, at length 1
# Those with a value or a vector for each token, padding included; the others have one for each row.
PER_TOKEN_OUTPUTS = frozenset({TOKEN_EMBEDDINGS, LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING})
POOLED_OUTPUTS: Mapping[Pooling, str] = MappingProxyType(
    {pooling: f"pooled_{pooling}" for pooling in get_args(Pooling)}
)

# What each kind of model is asked for; its width is `Manifest.dimensions`.
TASK_OUTPUTS: Mapping[Task, str] = MappingProxyType(
    {
        "embedding": SENTENCE_EMBEDDING,
        "splade": SPARSE_EMBEDDING,
        "classifier": LOGITS,
        "reranker": LOGITS,
        "multi_vector": MULTI_VECTOR_EMBEDDING,
    }
)

_COARSE = re.compile(r"(^|_)(q4|q4f16|bnb4|int4|uint4)($|_)")


def is_coarse(file: str) -> bool:
    """Whether a graph's file name says that its weights are rounded to 4 bits: it is not served."""
    return _COARSE.search(PurePosixPath(file).stem) is not None
