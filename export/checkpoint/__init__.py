"""Checkpoint: what kind of model a checkpoint is, by all of its files."""
