"""The exported model: its folder, words and arrays. Shared with the export; NumPy at most."""
