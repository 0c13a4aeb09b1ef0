"""The embedding service: exported models behind TEI's HTTP API and OpenAI's `/v1/embeddings`."""

import os

__version__ = "1.0.0"

# Both libraries read their variable once, when they are first imported or used.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime >= 1.29 sends telemetry on Linux
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # our pool is the parallelism
