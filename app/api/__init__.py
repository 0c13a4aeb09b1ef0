"""The HTTP surface: the dialects of TEI, OpenAI and Cohere. Knows nothing of ONNX Runtime."""
