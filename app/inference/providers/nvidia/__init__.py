"""NVIDIA: its driver and devices, and the engines that TensorRT builds."""
