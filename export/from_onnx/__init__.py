"""From ONNX: a folder made from a graph that was converted elsewhere, without PyTorch."""
