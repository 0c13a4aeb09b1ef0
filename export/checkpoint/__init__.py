"""Checkpoint: what a checkpoint is, of all that its files say."""
