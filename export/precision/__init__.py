"""Precision: the graphs made from the float32 one, and whether they still answer as it does."""
