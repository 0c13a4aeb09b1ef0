"""Preparation: a model that is not exported, but lies somewhere as ONNX, becomes an exported one.

The work is done by `python -m export --from-onnx`, run as a child: it needs a library that the
service does not, and its memory goes back to the system before the model is loaded.
"""

import hashlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from app import __version__
from app.errors import StartupError
from app.inference import repository, snapshot
from app.inference.manifest import Manifest, ManifestError
from app.settings import Settings

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
_FAULT = "error: "  # how the child begins the line that says why it failed


@contextmanager
def prepared(settings: Settings, environment: Mapping[str, str]) -> Iterator[Settings]:
    """The settings under which the model is found, once it has been prepared if need be.

    Load the model inside the block: without --cache-dir its folder is gone afterwards.

    Raises: StartupError when there is nothing to serve or to prepare, with the remedy.
    """
    with ExitStack() as stack:
        try:
            ready = _ready(settings, environment, stack)
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise StartupError(
                f"the model cannot be read: {error.strerror or error}{place}"
            ) from None
        yield ready


def _ready(settings: Settings, environment: Mapping[str, str], stack: ExitStack) -> Settings:
    if repository.find(settings.model_id, settings.revision, settings.models_dir) is not None:
        return settings
    source, graph = _find(settings, environment)
    models_dir = _cache_dir(settings, stack) / _key(settings, source, graph)
    place = models_dir / repository.folder_name(settings.model_id, settings.revision)
    if _is_complete(place):
        logger.info("%s was prepared before: %s", source, place)
    else:
        logger.info("Preparing %s", graph)
        _run(_command(settings, source, place))
    return replace(settings, models_dir=models_dir)


def _find(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, Path]:
    """The folder to prepare from, and the graph in it."""
    places = snapshot.roots(settings.huggingface_hub_cache, environment)
    folders = snapshot.candidates(settings.model_id, settings.revision, places)
    for folder in folders:
        graph = snapshot.graph_file(folder)
        if graph is not None:
            return folder, graph
    raise StartupError(_not_there(settings, folders, places))


def _not_there(settings: Settings, folders: list[Path], places: tuple[Path, ...]) -> str:
    revision = f" REVISION={settings.revision}" if settings.revision else ""
    remedy = f"run: make export MODEL_ID={settings.model_id}{revision}"
    if folders:
        held = "only PyTorch weights" if snapshot.has_weights(folders[0]) else "no weights either"
        return f"{folders[0]} holds no model.onnx and no onnx/model.onnx, {held}; {remedy}"
    place = settings.models_dir / repository.folder_name(settings.model_id, settings.revision)
    looked = f", and no Hub cache holds it (looked in {', '.join(map(str, places))})"
    return (
        f"{settings.model_id} is not exported: neither it nor {place} holds a manifest.json"
        f"{looked if places else ''}; {remedy}"
    )


def _cache_dir(settings: Settings, stack: ExitStack) -> Path:
    if settings.cache_dir is not None:
        try:
            settings.cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(
                f"{error.strerror} ({settings.cache_dir}): see that --cache-dir can be written"
            ) from None
        return settings.cache_dir.resolve()
    logger.warning(
        "the model is prepared in a temporary folder, and again at the next start: name a folder "
        "to keep it in with --cache-dir"
    )
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedding-service-")))
    except OSError as error:
        raise StartupError(
            f"there is no temporary folder to prepare the model in ({error.strerror}): name a "
            "folder that can be written with --cache-dir"
        ) from None


def _key(settings: Settings, source: Path, graph: Path) -> str:
    """A name for everything that decides what a prepared folder holds."""
    parts = (snapshot.digest(source, graph), settings.pooling or "", __version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _is_complete(place: Path) -> bool:
    """Whether the folder has been published, and by an export that this server understands."""
    try:
        Manifest.read(place)
    except ManifestError:
        return False
    return True


def _command(settings: Settings, source: Path, place: Path) -> list[str]:
    command = [sys.executable, "-m", "export", "--from-onnx", str(source.resolve())]
    command += ["--models-dir", str(place.parent), "--name", place.name]
    command += ["--id", repository.source_id(settings.model_id)]
    if settings.pooling is not None:
        command += ["--pooling", settings.pooling.replace("_", "-")]
    return command


def _run(command: list[str]) -> None:
    """Run the child to its end with its lines in our log; it never outlives us.

    Raises: StartupError with the child's own last line.
    """
    last = ""
    with subprocess.Popen(  # noqa: S603  # our own interpreter and module
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                last = line.rstrip()
                if not last.startswith(_FAULT):
                    logger.info("%s", last)
            status = child.wait()
        except BaseException:  # a signal: the child removes what is half done
            child.terminate()
            raise
    if last.startswith(_FAULT):
        raise StartupError(last.removeprefix(_FAULT))
    if status != 0:
        raise StartupError(f"preparing the model ended with exit code {status}: {last}")
