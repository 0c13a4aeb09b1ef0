"""The one error of the export: the message is the line that the operator reads."""


class ExportError(Exception):
    """The model cannot be exported; the message names the cause and the remedy in one line."""
