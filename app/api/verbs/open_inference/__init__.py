"""Open Inference: the protocol of KServe and Triton, version 2, tensors in and tensors out."""
