"""A running TEI, named by its address: a server that is not ours to start, or to look into."""

from collections.abc import Mapping
from typing import Any
from urllib.error import URLError

from app.proof.bounds import WORST_COSINE, Agreement
from tools.bench.load import get

NAME = "TEI"  # first word of its row
# TEI's vectors come this close in every precision, float16 and bfloat16 included.
LEAST_COSINE = WORST_COSINE["float16"]


class Tei:
    """A server at an address."""

    process = None

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def info(self) -> Mapping[str, Any]:
        """Return its own description.

        Raises: ValueError where no TEI answers.
        """
        try:
            return get(self, "/info")
        except (URLError, OSError, ValueError) as error:
            raise ValueError(f"no TEI answers at {self.url}/info: {error}") from error


def other_model(info: Mapping[str, Any], model_id: str) -> str | None:
    """Return why a TEI is not of that model, or None. Of a path only the last part counts."""
    theirs = str(info.get("model_id", ""))
    if theirs.rstrip("/").rpartition("/")[2].lower() == model_id.rpartition("/")[2].lower():
        return None
    return f"TEI serves {theirs or 'what it does not name'}, not {model_id}"


def other_vectors(agreement: Agreement) -> str | None:
    """Return why a TEI's vectors are not the model's, or None."""
    if agreement.worst_cosine >= LEAST_COSINE:
        return None
    return (
        "TEI gives other vectors than sentence-transformers: worst cosine "
        f"{agreement.worst_cosine:.7f}, at least {LEAST_COSINE:g} is expected"
    )


def name(info: Mapping[str, Any]) -> str:
    """The name of its row."""
    return f"{NAME} {info.get('version', '')}, {info.get('model_dtype', '')}"
