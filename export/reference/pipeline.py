"""Pipeline reference: a classifier's answers as transformers' own pipeline gives them.

Tokenization and truncation are included: texts and pairs go in, logits come out.
"""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray

from app.model.batch import TokenizedInput
from app.model.names import Activation
from app.proof.probes import Probes, ProbeText
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.reference.answers import Answer, answered

_SCORES: Mapping[Activation, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = (
    MappingProxyType(
        {
            "none": lambda logits: logits,
            "sigmoid": lambda logits: np.float32(1) / (np.float32(1) + np.exp(-logits)),
            "softmax": lambda logits: (
                np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            ),
        }
    )
)


def compute(
    tokenizer: Any, model: Any, checkpoint: Checkpoint, texts: Sequence[ProbeText]
) -> Probes:
    """Ask the pipeline over a loaded tokenizer and model for every text or pair by itself.

    Raises: ExportError as `answered` does.
    """
    library: Any = transformers  # its classes carry no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = library.TextClassificationPipeline(
            model=model, tokenizer=tokenizer, device="cpu"
        )
        classifier = _Classifier(pipeline, checkpoint)
        return answered(classifier.ask, texts, (), checkpoint)


class _Classifier:
    """A pipeline, with the last input and output of its model on each thread."""

    def __init__(self, pipeline: Any, checkpoint: Checkpoint) -> None:
        self._pipeline = pipeline
        self._scores = _SCORES[checkpoint.activation or "none"]
        # Many tokenizers have no limit of their own.
        self._max_length = min(pipeline.tokenizer.model_max_length, checkpoint.max_input_length)
        self._last = threading.local()
        self._turn = threading.Lock()
        self._preprocess = pipeline.preprocess
        pipeline.preprocess = self._one_at_a_time
        pipeline.model.register_forward_hook(self._listen, with_kwargs=True)

    def ask(self, texts: Sequence[ProbeText], _: str) -> list[Answer]:
        return list(map(self._answer, texts))

    def _answer(self, text: ProbeText) -> Answer:
        asked = text if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
        answers = self._pipeline(asked, top_k=None, truncation=True, max_length=self._max_length)
        given, said = self._last.call
        [ids], [logits] = given["input_ids"].numpy(), said.logits.numpy()
        scores = sorted(self._scores(logits), reverse=True)  # as the pipeline does
        if not np.allclose(scores, [one["score"] for one in answers], rtol=0, atol=1e-6):
            raise ExportError(
                f"transformers' pipeline makes other scores of the logits {logits}: {answers}"
            )
        types = given.get("token_type_ids")
        row = None if types is None or not types.any() else types[0].numpy()
        return Answer(TokenizedInput(ids, row), np.asarray(logits, np.float32), {})

    def _listen(self, _: Any, __: tuple[()], given: Mapping[str, Any], said: Any) -> None:
        self._last.call = given, said

    def _one_at_a_time(self, *arguments: Any, **options: Any) -> Any:
        """Preprocess a text under a lock: each call may change how the tokenizer truncates."""
        with self._turn:
            return self._preprocess(*arguments, **options)
