"""Model names: which model a user's text means, for the server and the export alike.

Besides an id of the Hub and a folder these are the short names of sentence-transformers and Ollama,
a page's address, a name without its organization, a folder of a Hub cache, `~`.

Only the standard library is needed here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.model.lookup import repository
from app.model.lookup.published_names import PUBLISHED
from app.model.manifest import FILE_NAME

_PAGES = ("huggingface.co", "www.huggingface.co", "hf.co")
_OTHER_PAGES = frozenset({"datasets", "spaces", "collections", "docs", "papers", "models", "blog"})
_OF_A_REVISION = frozenset({"tree", "blob", "resolve", "commit", "raw"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CACHED = "models--"
MOST_SUGGESTIONS = 5


class UnknownName(ValueError):
    """A text that cannot be a model's name; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Places:
    """The places of models on this machine: exported ones, and Hub caches."""

    models_dir: Path
    caches: tuple[Path, ...] = ()


_TAG = re.compile(r"\w[\w.-]*", re.ASCII)  # what Ollama accepts as a tag


@dataclass(frozen=True, slots=True)
class Meant:
    """A folder or an id of the Hub, and a revision of it."""

    model: str
    revision: str | None


def understand(text: str, revision: str | None, places: Places) -> Meant:
    """Return the model that a text means.

    Raises: UnknownName if the text cannot be a model's name.
    """
    text = text.strip()
    if (found := _folder(text)) is not None:
        return Meant(found, revision)
    if _is_address(text):
        return _of_page(text, revision)
    name, _, tag = text.rstrip("/").partition(":")
    if tag and not _TAG.fullmatch(tag):
        raise UnknownName(f"{text} is neither a folder nor an id of the form organization/name")
    if tag and tag != "latest":
        hint = f"; {PUBLISHED[name.lower()]} is what the name is for" if _is_published(name) else ""
        raise UnknownName(
            f"{text}: {tag} is a tag of Ollama's, whose models are not served here: give an id of "
            f"the form organization/name{hint}"
        )
    if name.startswith(_CACHED) and name.count("--") == 2:  # the folder's name in a Hub cache
        name = name.removeprefix(_CACHED).replace("--", "/")
    if "/" in name:
        return Meant(name, revision)
    return Meant(_of_one_organization(name, revision, places), revision)


def near(model: str, places: Places) -> str:
    """Suggest the model that a name without a match may mean, to end an error message with.

    Models of this machine are preferred to published ones.
    """
    here = {one.lower(): one for one in _here(places)}
    for known in (here, dict(sorted(PUBLISHED.items()))):
        by_id = {one.lower(): one for one in known.values()}
        found = difflib.get_close_matches(model.lower(), [*by_id, *known], n=1, cutoff=0.8)
        if found and (meant := by_id.get(found[0]) or known[found[0]]) != model:
            return f"; did you mean {meant}?"
    return ""


def suggestions(models_dir: Path) -> str:
    """Suggest the models of a folder to someone who has named none, or what else to name."""
    found = " or ".join(list(_here(Places(models_dir)))[:MOST_SUGGESTIONS])
    return found or "the folder of a model, or its id on the Hub, such as BAAI/bge-small-en-v1.5"


def _folder(text: str) -> str | None:
    """Return the folder that a text names, or None if it may be something else.

    Raises: UnknownName for a folder that does not exist.
    """
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        if path.is_dir():
            return str(path) if text.startswith("~") else text.rstrip("/") or "/"
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise UnknownName(f"{text}: {getattr(error, 'strerror', None) or error}") from None
    if is_file:
        raise UnknownName(f"{text} is a file: give the folder that holds the model")
    is_path = text.startswith(("/", "./", "../", "~")) or text in {".", ".."}
    if is_path or (text.rstrip("/").count("/") > 1 and not _is_address(text)):
        raise UnknownName(
            f"{text} is not a folder{_near_folder(path)}: give one that holds a model"
        )
    return None


def _near_folder(path: Path) -> str:
    """Suggest the folder beside a missing one that was probably meant."""
    try:
        beside = [one.name for one in path.parent.iterdir() if one.is_dir()]
    except OSError:
        return ""
    found = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.7)
    return f" (did you mean {path.parent / found[0]}?)" if found else ""


def _is_address(text: str) -> bool:
    return _SCHEME.match(text) is not None or text.partition("/")[0].lower() in _PAGES


def _of_page(text: str, revision: str | None) -> Meant:
    """Return the model of a page of the Hub: `https://huggingface.co/ORG/NAME/tree/REVISION`."""
    address = urlsplit(text if _SCHEME.match(text) else f"https://{text}")
    parts = [unquote(part) for part in address.path.split("/") if part]
    if address.scheme == "hf":  # its first part is in the place of a host
        parts.insert(0, address.netloc)
    elif address.netloc.lower() not in _PAGES:
        parts = []
    if not parts or parts[0] in _OTHER_PAGES:
        raise UnknownName(
            f"{text} is no page of a model on the Hugging Face Hub: give an id of the form "
            "organization/name, or a folder"
        )
    place = next((i for i, part in enumerate(parts) if part in _OF_A_REVISION), len(parts))
    named = _revision(parts[place + 1 :]) if place in {1, 2} else None
    if named and revision and named != revision:
        raise UnknownName(
            f"{text} names revision {named}, --revision (REVISION) says {revision}: leave one out"
        )
    return Meant("/".join(parts[: min(place, 2)]), revision or named)


def _revision(parts: Sequence[str]) -> str | None:
    """Return a branch or commit; of names with slashes only those of pull requests are known."""
    if list(parts[:2]) == ["refs", "pr"]:
        return "/".join(parts[:3])
    return parts[0] if parts else None


def _is_published(name: str) -> bool:
    return name.lower() in PUBLISHED


def _of_one_organization(name: str, revision: str | None, places: Places) -> str:
    """Return the id of a name without organization: as exported or cached here, or as published.

    Any other name may be a model that the Hub has without organization.
    """
    if repository.find(name, revision, places.models_dir) is not None:
        return name
    every = [one for one in _here(places) if one.partition("/")[2] == name]
    found = list(dict.fromkeys(every))
    if len(found) > 1:
        raise UnknownName(f"{name} may be {' or '.join(found)}: give the one that is meant")
    return found[0] if found else PUBLISHED.get(name.lower(), name)


def _here(places: Places) -> Iterator[str]:
    """Yield the ids of the models on this machine: the exported ones, then those of Hub caches."""
    for manifest in _sorted(places.models_dir.glob(f"[!.]*/{FILE_NAME}")):
        yield manifest.parent.name.partition("@")[0].replace("--", "/", 1)
    for cache in places.caches:
        for folder in _sorted(cache.glob(f"{_CACHED}*")):
            yield folder.name.removeprefix(_CACHED).replace("--", "/", 1)


def _sorted(paths: Iterable[Path]) -> list[Path]:
    try:
        return sorted(paths)
    except OSError:  # an unreadable folder holds nothing for this user
        return []
