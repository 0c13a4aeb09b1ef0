"""Output: the types in which vectors are asked for, and the bytes of an answer in each."""
