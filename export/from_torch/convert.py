"""Convert: the way from a checkpoint to a bare ONNX graph through optimum."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import optimum.utils.logging as optimum_logging
import transformers
from optimum.exporters.onnx import main_export
from optimum.exporters.tasks import TasksManager

from app.model.names import Task
from export.checkpoint.read import Checkpoint
from export.config import clip
from export.errors import ExportError, first_line

# optimum's name for each kind of model, which decides the outputs of the graph.
_TASKS: Mapping[Task, str] = MappingProxyType(
    {
        "embedding": "feature-extraction",
        "splade": "fill-mask",
        "classifier": "text-classification",
        "reranker": "text-classification",
        "multi_vector": "feature-extraction",
    }
)
# optimum would convert these with their decoders.
_ENCODER_DECODERS = frozenset({"t5", "mt5", "umt5"})
_OPSET = 18  # the newest that TensorRT 10 and the quantizers all read


def knows(checkpoint: Checkpoint) -> bool:
    """Check whether optimum converts models of this architecture and kind."""
    if checkpoint.model_type in _ENCODER_DECODERS or clip.is_clip(checkpoint.architecture):
        return False
    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(
            checkpoint.model_type, "onnx", library_name="transformers"
        )
    except KeyError:
        return False
    return _TASKS[checkpoint.converted_as] in tasks


def convert(checkpoint: Path, folder: Path, task: Task = "embedding") -> Path:
    """Write `folder/model.onnx`, float32, with one output.

    It is `last_hidden_state` (B, S, H) if the model embeds texts or tokens, else `logits`:
    (B, S, V) of a SPLADE model, (B, L) of a classifier or reranker.

    Raises: ExportError with the converter's own message.
    """
    optimum_logging.set_verbosity(logging.ERROR)
    transformers.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every constant that it folds
        try:
            main_export(
                str(checkpoint),
                folder,
                task=_TASKS[task],
                opset=_OPSET,
                dtype="fp32",
                # With sentence-transformers installed optimum would pool and normalize by itself.
                library_name="transformers",
                local_files_only=True,
                do_validation=False,  # the proof compares more, and with the serving code
            )
        # The errors of optimum and torch's exporter for models that they cannot convert.
        except (ValueError, KeyError, NotImplementedError, ImportError, RuntimeError) as error:
            raise ExportError(f"the conversion to ONNX failed: {first_line(error)}") from error
    return folder / "model.onnx"
