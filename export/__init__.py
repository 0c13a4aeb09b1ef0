"""Export: a Hugging Face checkpoint to a proved folder that the server opens. Build time only."""

import app  # noqa: F401  # first: it sets variables that onnxruntime and tokenizers read
