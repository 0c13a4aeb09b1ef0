"""Cache: memory and CPU time of the row store, measured."""
