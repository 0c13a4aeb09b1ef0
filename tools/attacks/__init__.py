"""Attacks: single callers who ask for much with few bytes, and what others see meanwhile."""
