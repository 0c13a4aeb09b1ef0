"""The embedding service: exported models behind TEI's HTTP API and OpenAI's `/v1/embeddings`."""

__version__ = "0.1.0"
