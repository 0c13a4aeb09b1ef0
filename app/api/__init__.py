"""The HTTP surface: TEI's dialect and OpenAI's. Knows nothing of ONNX Runtime."""
