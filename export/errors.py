"""Errors: the one that ends an export, whose message is the line that the operator reads.

`reference.sentence_transformers.Unloadable` is caught before: it becomes a warning or an
ExportError.
"""


class ExportError(Exception):
    """The model cannot be exported; the message names the cause and the remedy in one line."""


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, or its class's name if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
