"""Export: a Hugging Face checkpoint to a proved folder that the server opens. Build time only."""

import app  # noqa: F401  # before onnxruntime and tokenizers: it settles what they read
