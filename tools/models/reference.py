"""Answers of the original: sentence-transformers, or transformers where a model classifies.

`python -m tools.models.reference ASKED ANSWERS` runs in the environment that knows the model: it
reads JSON and writes an array, one row for each question, each computed alone in float32.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def main(asked_file: str, answers_file: str) -> None:
    """Answer the questions of the first file into the second."""
    asked = json.loads(Path(asked_file).read_text())
    vectors = {"embedding": _dense, "splade": _sparse}.get(asked["task"], _scores)
    if (Path(asked["folder"]) / "chat_template.jinja").is_file():
        vectors = _chats
    np.save(answers_file, vectors(asked["folder"], asked["questions"]))


def _dense(folder: str, questions: list[dict[str, Any]]) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    return np.stack(
        [model.encode(one["text"], prompt_name=one["prompt_name"]) for one in questions]
    )


def _sparse(folder: str, questions: list[dict[str, Any]]) -> NDArray[np.float32]:
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(folder, device="cpu", local_files_only=True)
    vectors = [model.encode(one["text"], convert_to_sparse_tensor=False) for one in questions]
    return np.stack([vector.numpy() for vector in vectors])


def _scores(folder: str, questions: list[dict[str, Any]]) -> NDArray[np.float32]:
    import torch
    import transformers

    library: Any = transformers  # its classes carry no types
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    rows = []
    for one in questions:
        texts = [one["text"], *([] if one["other"] is None else [one["other"]])]
        inputs = tokenizer(*texts, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits[0]
        scores = logits.softmax(dim=0) if len(logits) > 1 else logits.sigmoid()
        rows.append(scores.numpy())
    return np.stack(rows)


def _chats(folder: str, questions: list[dict[str, Any]]) -> NDArray[np.float32]:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(folder, device="cpu", local_files_only=True)
    pairs = [(one["text"], one["other"]) for one in questions]
    return np.asarray(model.predict(pairs, batch_size=1), np.float32)[:, None]


if __name__ == "__main__":
    main(*sys.argv[1:])
