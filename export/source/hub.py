"""Hub: fetch a checkpoint or an ONNX model from the Hugging Face Hub into a local cache.

The door to huggingface_hub, which reads HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and
HF_HUB_OFFLINE by itself and shows its own progress bars.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import requests
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from app.model.lookup import hub_cache
from export.checkpoint import model_card, routers
from export.config import token_heads
from export.errors import ExportError, first_line

logger = logging.getLogger(__name__)

_DESCRIPTIONS = (
    "config.json",
    "modules.json",
    "sentence_*_config.json",
    "config_sentence_transformers.json",
    "[0-9]*_*/config.json",
    *routers.DESCRIPTIONS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    # An encoder may have a folder of its own.
    "[0-9]*_*/tokenizer*.json",
    "[0-9]*_*/special_tokens_map.json",
    "[0-9]*_*/chat_template.j*",
    "[0-9]*_*/added_tokens.json",
    "[0-9]*_*/vocab.*",
    "[0-9]*_*/merges.txt",
    "[0-9]*_*/*.model",
    "[0-9]*_*/sentence_*_config.json",
)
_ADAPTERS = ("*/adapter_config.json", "*/adapter_model.safetensors")
# Layers behind the encoder are small, and may be pickles even if the encoder's weights are not.
_LAYERS = (
    "[0-9]*_*/model.safetensors",
    "[0-9]*_*/pytorch_model.bin",
    token_heads.SPARSE_FILE,
    token_heads.MULTI_VECTOR_FILE,
    *routers.WEIGHTS,
)
_SAFETENSORS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    *_LAYERS,
)
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin", *_LAYERS)
_ATTEMPTS = 5


def download(model_id: str, revision: str | None, *, code: bool = False) -> Path:
    """Download a checkpoint, and return its folder; pickles only if there are no safetensors.

    `code` includes its Python files.

    Raises: ExportError for a model that is unknown, gated or out of reach, with the remedy.
    """
    always = (*_DESCRIPTIONS, model_card.FILE_NAME, *(["*.py"] if code else []), *_ADAPTERS)
    with _explained(model_id, revision, Path(constants.HF_HUB_CACHE)):
        folder = _fetch(model_id, revision, (*always, *_SAFETENSORS))
        if not any(folder.glob("*.safetensors")):
            folder = _fetch(model_id, revision, (*always, *_PICKLES))
    return folder


def download_onnx(
    model_id: str, revision: str | None, cache: Path, onnx_file: str | None = None
) -> Path:
    """Download a model's ONNX graph, weights and descriptions to `cache`, and return their folder.

    `onnx_file` names another graph than the float32 one.

    The graph comes last, and the revision is noted after it: a snapshot with a graph is complete.

    Raises: ExportError as `download` does, and before any download for a model without ONNX;
    OSError if the cache cannot be written.
    """
    with _explained(model_id, revision, cache):
        info = HfApi().model_info(
            model_id, revision=revision, timeout=constants.DEFAULT_REQUEST_TIMEOUT
        )
        assert info.sha is not None
        held = [one.rfilename for one in info.siblings or ()]
        names = _wanted(model_id, held, onnx_file)
        for number, name in enumerate(names, 1):
            logger.info("[%d/%d] %s", number, len(names), name)
            graph = _fetch_file(model_id, info.sha, name, cache)
        folder = graph.parents[len(Path(name).parents) - 1]
        if hub_cache.MODULES_FILE not in names:
            _write(hub_cache.absence(folder, hub_cache.MODULES_FILE), "")
        if (wanted := revision or constants.DEFAULT_REVISION) != folder.name:
            _write(folder.parent.parent / "refs" / wanted, folder.name)
    return folder


def _wanted(model_id: str, names: list[str], onnx_file: str | None) -> list[str]:
    """Return the names of the files that are needed to serve a repository, the graph last."""
    graph = hub_cache.graph_name(names, onnx_file)
    if graph is None:
        remedy = f"run: make export MODEL_ID={model_id}"
        raise ExportError(f"{model_id} {hub_cache.without_graph(names, remedy, onnx_file)}")
    described = [*_DESCRIPTIONS, token_heads.SPARSE_FILE, token_heads.MULTI_VECTOR_FILE]
    if hub_cache.MODULES_FILE not in names:  # then the card may say what the model is
        described.append(model_card.FILE_NAME)
    descriptions = [name for name in names if any(fnmatch(name, one) for one in described)]
    _refuse_pickled_layers(model_id, names)
    layers = [name for name in names if fnmatch(name, hub_cache.LAYER_WEIGHTS)]
    weights = [name for name in names if name.startswith(graph) and name != graph]
    return [*descriptions, *layers, *weights, graph]


def _refuse_pickled_layers(model_id: str, names: list[str]) -> None:
    """Raise ExportError, before any download, if a layer's weights are only a pickle."""
    for name in names:
        safe = f"{name.rpartition('/')[0]}/model.safetensors"
        if fnmatch(name, hub_cache.LAYER_PICKLES) and safe not in names:
            raise ExportError(
                f"{model_id}: {name} is a pickle, which only PyTorch reads safely; run: make "
                f"export MODEL_ID={model_id}"
            )


def _fetch_file(model_id: str, commit: str, name: str, cache: Path) -> Path:
    """Download one file, and continue it if the connection breaks off."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return Path(hf_hub_download(model_id, name, revision=commit, cache_dir=cache))
        except requests.exceptions.ChunkedEncodingError:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("the connection broke off: going on with %s", name)
    raise AssertionError("the last attempt returns or raises")


def _write(note: Path, text: str) -> None:
    """Write a note as the library's own downloads do: a branch's commit, or a missing file."""
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(text)


def _fetch(model_id: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    return Path(snapshot_download(model_id, revision=revision, allow_patterns=list(patterns)))


@contextmanager
def _explained(model_id: str, revision: str | None, cache: Path) -> Iterator[None]:
    """Raise errors of the network and the Hub as one line with the remedy."""
    try:
        yield
    except HFValidationError:
        raise ExportError(
            f"{model_id!r} is neither a folder nor an id of the form organization/name"
        ) from None
    except GatedRepoError:
        raise ExportError(
            f"{model_id} is gated: accept its conditions on its page, then set HF_TOKEN to a "
            "token that may read it"
        ) from None
    except RevisionNotFoundError:
        raise ExportError(f"{model_id} has no revision {revision!r}") from None
    except RepositoryNotFoundError:
        raise ExportError(
            f"{model_id} is neither a folder nor a model on the Hub; if it is private, set "
            "HF_TOKEN to a token that may read it"
        ) from None
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, HfHubHTTPError):  # it answered, though not with the model
            raise _failed(model_id, error.__cause__) from None
        raise _out_of_reach(model_id, cache) from None
    except (requests.ConnectionError, requests.Timeout):
        raise _out_of_reach(model_id, cache) from None
    except (HfHubHTTPError, requests.RequestException) as error:
        raise _failed(model_id, error) from None


def _out_of_reach(model_id: str, cache: Path) -> ExportError:
    if constants.HF_HUB_OFFLINE:
        return ExportError(
            f"{model_id} is not in the local cache ({cache}) and HF_HUB_OFFLINE is set: unset it, "
            "or give a folder that holds the model"
        )
    return ExportError(
        f"{model_id} is not in the local cache ({cache}) and {constants.ENDPOINT} cannot be "
        "reached: check the network or HF_ENDPOINT, or give a folder that holds the model"
    )


def _failed(model_id: str, error: Exception) -> ExportError:
    answer = error.response if isinstance(error, HfHubHTTPError) else None
    if answer is not None and answer.status_code in {401, 403}:
        return ExportError(
            f"{model_id} cannot be fetched: the Hub refuses the token, or wants one "
            f"({answer.status_code}): set HF_TOKEN to a token that may read it"
        )
    return ExportError(f"{model_id} cannot be fetched: {first_line(error)}")
