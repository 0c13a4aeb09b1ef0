"""Attacks: single clients that cost a server much for few bytes, and what other clients see."""
