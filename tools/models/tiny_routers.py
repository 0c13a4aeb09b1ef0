"""Tiny asymmetric models: a Router with one route for queries and another for documents.

Made with sentence-transformers, as their authors make them, of checkpoints of tiny models.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS
from tools.models.tiny_tokenizers import FAMILIES, build

PROMPTS = {"query": "query: ", "document": ""}


def tiny(name: str, folder: Path) -> Path:
    """The checkpoint of a tiny model."""
    [model] = [one for one in TINY_MODELS if one.name == name]
    return checkpoints.write(model, folder)


def sparse_static(folder: Path) -> Path:
    """Inference-free SPLADE: the weights of a query's tokens are in a table."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder import modules

    library: Any = modules
    encoder: Any = SparseEncoder(
        str(tiny("bert-splade", folder.with_name(f"{folder.name}-documents"))), device="cpu"
    )
    transformer, pooling = encoder[0], library.SpladePooling("max", "log1p_relu")
    torch.manual_seed(5)
    weights = torch.rand(len(transformer.tokenizer)) * 6
    weights[:5] = 0  # the special tokens, as in a table of document frequencies
    static = library.SparseStaticEmbedding(transformer.tokenizer, weights, frozen=True)
    router = library.Router.for_query_document([static], [transformer, pooling])
    made = SparseEncoder(modules=[router], similarity_fn_name="dot", device="cpu")
    made.save_pretrained(str(folder))
    return folder


def dense(folder: Path) -> Path:
    """Two encoders of one tokenizer, each with a pooling of its own; queries have a prompt."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    library: Any = modules
    parts = []
    for name, mode in (("electra-mean", "cls"), ("bert-mean", "mean")):
        source = tiny(name, folder.with_name(f"{folder.name}-{name}"))
        transformer: Any = SentenceTransformer(str(source), device="cpu")[0]
        parts.append([transformer, library.Pooling(32, mode)])
    router = library.Router.for_query_document(*parts)
    made = SentenceTransformer(modules=[router, library.Normalize()], prompts=PROMPTS, device="cpu")
    made.save_pretrained(str(folder))
    return folder


def dense_static(folder: Path) -> Path:
    """Queries by a table of token vectors and a Dense layer, documents by an encoder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    library: Any = modules
    source = tiny("bert-mean", folder.with_name(f"{folder.name}-documents"))
    transformer: Any = SentenceTransformer(str(source), device="cpu")[0]
    torch.manual_seed(7)
    tokenizer = transformer.tokenizer
    static = library.StaticEmbedding(tokenizer, torch.randn(len(tokenizer), 24))
    widen = library.Dense(24, 32, activation_function=torch.nn.Tanh())
    router = library.Router.for_query_document(
        [static, widen], [transformer, library.Pooling(32, "mean")]
    )
    made = SentenceTransformer(modules=[router], prompts=PROMPTS, device="cpu")
    made.save_pretrained(str(folder))
    return folder


def static(folder: Path) -> Path:
    """Nothing but a table of token vectors, and a Normalize."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    library: Any = modules
    torch.manual_seed(9)
    tokenizer = build(FAMILIES["bert"])
    table = library.StaticEmbedding(tokenizer, torch.randn(tokenizer.get_vocab_size(), 24))
    made = SentenceTransformer(modules=[table, library.Normalize()], device="cpu")
    made.save_pretrained(str(folder))
    return folder


ROUTERS: Mapping[str, Callable[[Path], Path]] = MappingProxyType(
    {"sparse-static": sparse_static, "dense": dense, "dense-static": dense_static, "static": static}
)
