"""The server: from the open port to the last answer, and the signals that end it."""
