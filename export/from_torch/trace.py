"""Trace: the way from a loaded model to a bare ONNX graph through torch's own exporter.

It is for models that optimum does not know: encoders of encoder-decoders, architectures of newer
versions of transformers, models with code of their own.
"""

import warnings
from pathlib import Path
from typing import Any

import torch

from export.checkpoint.read import Checkpoint
from export.errors import ExportError, first_line
from export.reference.original import takes_types

_OPSET = 18  # the same as in optimum's graphs
_ROWS, _LENGTH, _PADDING = 2, 16, 5


class _Bare(torch.nn.Module):
    """A model as a function of tensors with one output."""

    def __init__(self, model: Any, output: str) -> None:
        super().__init__()
        self._model = model
        self._output = output

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found: Any = self._model(input_ids=input_ids, attention_mask=attention_mask, **types)
        tensor: torch.Tensor = getattr(found, self._output)
        return tensor


def trace(model: Any, checkpoint: Checkpoint, folder: Path) -> Path:
    """Write `folder/model.onnx`, float32, with the one output of its kind.

    It is `last_hidden_state` (B, S, H) if the model is converted as an embedding model, else
    `logits`.

    Raises: ExportError with the exporter's own message.
    """
    scores = checkpoint.converted_as in {"classifier", "reranker"}
    output = "logits" if scores or checkpoint.task == "splade" else "last_hidden_state"
    model.config.use_cache = False
    inputs = _inputs(checkpoint, typed=takes_types(model))
    folder.mkdir()
    path = folder / "model.onnx"
    axes = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every constant that it folds
        try:
            torch.onnx.export(
                _Bare(model, output),
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=[output],
                dynamic_axes={
                    **dict.fromkeys(inputs, axes),
                    output: {0: "batch"} if scores else axes,
                },
                opset_version=_OPSET,
                dynamo=False,  # its graphs run a tenth faster than those of the newer exporter
            )
        except Exception as error:  # torch's errors share no narrower base
            raise ExportError(f"the conversion to ONNX failed: {first_line(error)}") from error
    return path


def _inputs(checkpoint: Checkpoint, *, typed: bool) -> dict[str, torch.Tensor]:
    """Make two rows, one of them padded: models take shortcuts for a batch without padding."""
    shape = (_ROWS, _LENGTH)
    input_ids = torch.arange(_ROWS * _LENGTH).reshape(shape) % checkpoint.vocabulary_size
    attention_mask = torch.ones(shape, dtype=torch.int64)
    input_ids[-1, -_PADDING:] = checkpoint.padding.id
    attention_mask[-1, -_PADDING:] = 0
    found = {"input_ids": input_ids, "attention_mask": attention_mask}
    return found | ({"token_type_ids": torch.zeros_like(input_ids)} if typed else {})
