"""Bulk: the cost of a `python -m app.bulk` job beside the bare session, and its memory."""
