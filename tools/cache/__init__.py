"""Cache: what the store of rows takes and costs, measured."""
