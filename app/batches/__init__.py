"""Batches: files of requests that are computed when there is time, as in OpenAI's Batch API."""
