"""From texts to vectors: tokenization, batching and ONNX Runtime. Knows nothing of HTTP."""

import os

# Both libraries read their variable once, when they are first imported or used.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime >= 1.29 reports home on Linux
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # our pool is the parallelism
