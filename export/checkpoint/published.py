"""Published: how well-known models pool, for copies that leave it out.

A conversion to ONNX often lacks `modules.json`. If its organization only converts models, and it
has the name of a model whose authors publish the pooling, that one is taken: docs/models.md.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.model.names import PoolingChoice

# Organizations that convert models of others, and keep their names.
_CONVERTERS = frozenset({"onnx-community", "qdrant", "supabase", "xenova"})
_SUFFIX = re.compile(r"-onnx(-q)?$")  # that they append, in lower case

_MODELS: Mapping[PoolingChoice, Mapping[str, str]] = MappingProxyType(
    {
        "mean": {
            "sentence-transformers": "all-MiniLM-L6-v2 all-MiniLM-L12-v2 all-mpnet-base-v2 "
            "all-distilroberta-v1 multi-qa-MiniLM-L6-cos-v1 multi-qa-mpnet-base-cos-v1 "
            "paraphrase-MiniLM-L3-v2 paraphrase-MiniLM-L6-v2 paraphrase-mpnet-base-v2 "
            "paraphrase-multilingual-MiniLM-L12-v2 paraphrase-multilingual-mpnet-base-v2",
            "intfloat": "e5-small e5-base e5-large e5-small-v2 e5-base-v2 e5-large-v2 "
            "multilingual-e5-small multilingual-e5-base multilingual-e5-large "
            "multilingual-e5-large-instruct",
            "thenlper": "gte-small gte-base gte-large",
            "nomic-ai": "nomic-embed-text-v1 nomic-embed-text-v1.5 modernbert-embed-base",
            "jinaai": "jina-embeddings-v2-small-en jina-embeddings-v2-base-en "
            "jina-embeddings-v2-base-de jina-embeddings-v2-base-es jina-embeddings-v2-base-zh "
            "jina-embeddings-v2-base-code",
        },
        "cls": {
            "BAAI": "bge-small-en bge-base-en bge-large-en bge-small-en-v1.5 bge-base-en-v1.5 "
            "bge-large-en-v1.5 bge-small-zh-v1.5 bge-base-zh-v1.5 bge-large-zh-v1.5 bge-m3",
            "sentence-transformers": "multi-qa-mpnet-base-dot-v1",
            "mixedbread-ai": "mxbai-embed-large-v1",
            "Snowflake": "snowflake-arctic-embed-xs snowflake-arctic-embed-s "
            "snowflake-arctic-embed-m snowflake-arctic-embed-m-long snowflake-arctic-embed-l "
            "snowflake-arctic-embed-m-v1.5 snowflake-arctic-embed-m-v2.0 "
            "snowflake-arctic-embed-l-v2.0",
            "Alibaba-NLP": "gte-base-en-v1.5 gte-large-en-v1.5 gte-multilingual-base "
            "gte-modernbert-base",
        },
        "last_token": {"Qwen": "Qwen3-Embedding-0.6B Qwen3-Embedding-4B Qwen3-Embedding-8B"},
        "splade": {
            "naver": "splade-cocondenser-ensembledistil splade-cocondenser-selfdistil splade-v3",
            "prithivida": "Splade_PP_en_v1 Splade_PP_en_v2",
        },
    }
)


@dataclass(frozen=True, slots=True)
class Original:
    """A model's id as its authors publish it, and its pooling."""

    id: str
    pooling: PoolingChoice


def original(model_id: str) -> Original | None:
    """Return the well-known model that a Hub id names, or names a conversion of.

    An id without an organization, such as a folder's name, matches none.
    """
    organization, _, name = model_id.lower().partition("/")
    if organization in _CONVERTERS:
        return _BY_NAME.get(_SUFFIX.sub("", name))
    found = _BY_NAME.get(name)
    return found if found is not None and found.id.lower() == model_id.lower() else None


def _every() -> Iterator[Original]:
    for pooling, organizations in _MODELS.items():
        for organization, names in organizations.items():
            for name in names.split():
                yield Original(f"{organization}/{name}", pooling)


_BY_NAME = MappingProxyType({one.id.lower().partition("/")[2]: one for one in _every()})
