"""Published names: short names of models in prose and other programs, and the Hub's id of each."""

from collections.abc import Mapping
from types import MappingProxyType

# Names that authors and libraries use in prose, by organization on the Hub.
_BY_ORGANIZATION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sentence-transformers": (
            "all-MiniLM-L6-v1", "all-MiniLM-L6-v2", "all-MiniLM-L12-v1", "all-MiniLM-L12-v2",
            "all-distilroberta-v1", "all-mpnet-base-v1", "all-mpnet-base-v2",
            "all-roberta-large-v1",
            "LaBSE", "distiluse-base-multilingual-cased-v1", "distiluse-base-multilingual-cased-v2",
            "gtr-t5-base", "gtr-t5-large", "gtr-t5-xl", "gtr-t5-xxl", "msmarco-MiniLM-L-6-v3",
            "msmarco-MiniLM-L-12-v3", "msmarco-bert-base-dot-v5", "msmarco-distilbert-base-tas-b",
            "msmarco-distilbert-base-v4", "msmarco-distilbert-cos-v5", "msmarco-distilbert-dot-v5",
            "multi-qa-MiniLM-L6-cos-v1", "multi-qa-MiniLM-L6-dot-v1", "multi-qa-distilbert-cos-v1",
            "multi-qa-distilbert-dot-v1", "multi-qa-mpnet-base-cos-v1",
            "multi-qa-mpnet-base-dot-v1",
            "paraphrase-MiniLM-L3-v2", "paraphrase-MiniLM-L6-v2", "paraphrase-MiniLM-L12-v2",
            "paraphrase-TinyBERT-L6-v2", "paraphrase-albert-small-v2",
            "paraphrase-distilroberta-base-v2", "paraphrase-mpnet-base-v2",
            "paraphrase-multilingual-MiniLM-L12-v2", "paraphrase-multilingual-mpnet-base-v2",
            "sentence-t5-base", "sentence-t5-large", "sentence-t5-xl", "sentence-t5-xxl",
            "use-cmlm-multilingual",
        ),
        "BAAI": (
            "bge-base-en-v1.5", "bge-base-zh-v1.5", "bge-large-en-v1.5", "bge-large-zh-v1.5",
            "bge-m3", "bge-reranker-base", "bge-reranker-large", "bge-reranker-v2-m3",
            "bge-small-en-v1.5", "bge-small-zh-v1.5",
        ),
        "intfloat": (
            "e5-base-v2", "e5-large-v2", "e5-small-v2", "multilingual-e5-base",
            "multilingual-e5-large", "multilingual-e5-large-instruct", "multilingual-e5-small",
        ),
        "cross-encoder": (
            "ms-marco-MiniLM-L6-v2", "ms-marco-MiniLM-L12-v2", "ms-marco-TinyBERT-L2-v2",
        ),
        "thenlper": ("gte-base", "gte-large", "gte-small"),
        "nomic-ai": ("nomic-embed-text-v1", "nomic-embed-text-v1.5"),
        "mixedbread-ai": ("mxbai-embed-large-v1", "mxbai-rerank-base-v1"),
        "google": ("embeddinggemma-300m",),
        "Qwen": ("Qwen3-Embedding-0.6B", "Qwen3-Embedding-4B", "Qwen3-Embedding-8B"),
    }
)  # fmt: skip
_OLLAMA: Mapping[str, str] = MappingProxyType(
    {
        "all-minilm": "sentence-transformers/all-MiniLM-L6-v2",
        "embeddinggemma": "google/embeddinggemma-300m",
        "mxbai-embed-large": "mixedbread-ai/mxbai-embed-large-v1",
        "nomic-embed-text": "nomic-ai/nomic-embed-text-v1.5",
    }
)
PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        name.lower(): f"{organization}/{name}"
        for organization, names in _BY_ORGANIZATION.items()
        for name in names
    }
    | dict(_OLLAMA)
)
"""By the name in lower case."""
