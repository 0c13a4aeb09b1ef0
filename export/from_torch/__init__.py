"""From PyTorch: a checkpoint to a bare graph, with its own tokenizer, adapter and answers."""
