"""The one error of the export: the message is the line that the operator reads.

`sentence_reference.Unloadable` does not get as far: it becomes a warning, or an ExportError.
"""


class ExportError(Exception):
    """The model cannot be exported; the message names the cause and the remedy in one line."""


def first_line(error: Exception) -> str:
    """What a library said, as a part of such a message: its first line, or else its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
