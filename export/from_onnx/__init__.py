"""From ONNX: a folder made of a graph that somebody else converted, without PyTorch."""
