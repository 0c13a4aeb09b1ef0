"""Hub: fetch a checkpoint from the Hugging Face Hub, or find it in the local cache.

The door to huggingface_hub, which reads HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and
HF_HUB_OFFLINE by itself and shows its own progress bars.
"""

from pathlib import Path

import requests
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from export.errors import ExportError

_DESCRIPTIONS = (
    "config.json",
    "modules.json",
    "sentence_*_config.json",
    "config_sentence_transformers.json",
    "*_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")


def download(model_id: str, revision: str | None) -> Path:
    """The folder of a model's files: weights as safetensors, or if there are none as pickles.

    Raises: ExportError for a model that is unknown, locked or out of reach, with the remedy.
    """
    try:
        folder = _fetch(model_id, revision, (*_DESCRIPTIONS, *_SAFETENSORS))
        if not any(folder.glob("*.safetensors")):
            folder = _fetch(model_id, revision, (*_DESCRIPTIONS, *_PICKLES))
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
        raise _out_of_reach(model_id) from None
    except (HfHubHTTPError, requests.RequestException) as error:
        raise _failed(model_id, error) from None
    return folder


def _fetch(model_id: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    return Path(snapshot_download(model_id, revision=revision, allow_patterns=list(patterns)))


def _out_of_reach(model_id: str) -> ExportError:
    if constants.HF_HUB_OFFLINE:
        return ExportError(
            f"{model_id} is not in the local cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE "
            "is set: unset it, or give a folder that holds the model"
        )
    return ExportError(
        f"{model_id} is not in the local cache ({constants.HF_HUB_CACHE}) and "
        f"{constants.ENDPOINT} cannot be reached: check the network or HF_ENDPOINT, or give a "
        "folder that holds the model"
    )


def _failed(model_id: str, error: Exception) -> ExportError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExportError(f"{model_id} cannot be fetched: {reason}")
