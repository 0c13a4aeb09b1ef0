"""Bulk: files of texts in, files of vectors out, with the same model and batches, without HTTP."""
