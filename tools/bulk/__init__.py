"""Bulk: what a job of `python -m app.bulk` costs beside the bare session, and the memory it has."""
