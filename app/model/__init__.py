"""The exported model: its folder, names and arrays. Shared with the export; NumPy at most."""
