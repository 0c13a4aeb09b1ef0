"""The exported model: what server and export share. Needs NumPy at most."""
