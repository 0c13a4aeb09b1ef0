"""Precision: the graphs made of the float32 one, and whether they still answer as it does."""
