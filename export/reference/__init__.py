"""Reference: the original model's answers, from the library that its users call."""
