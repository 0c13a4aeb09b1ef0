"""Reading: files of texts, one row at a time, whatever their size."""
