"""From texts to vectors: tokenization, batching and ONNX Runtime. Knows nothing of HTTP."""
