"""Tokenizing: texts to token ids and back, in slices and by turns."""
