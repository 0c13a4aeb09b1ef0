"""Operators: products in 16-bit integers for ONNX Runtime, in C, built where they run."""
