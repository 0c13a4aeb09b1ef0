"""A tiny exported model, made in milliseconds: the real graph heads on an encoder of one layer.

Its tokens look at nothing but themselves, so NumPy can say what every answer must be.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from app.inference.batch import TokenizedInput
from app.inference.manifest import (
    PROBES_FILE,
    SCHEMA,
    TOKENIZER_FILE,
    Graph,
    Manifest,
    Padding,
    Source,
    file_digest,
)
from app.inference.proof import Probes
from export.heads import GRAPH_FILE, graft

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "b",
    "c",
    "d",
    "e",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "dog",
    "query",
    ":",
    "hello",
    "world",
    "##s",
    "!",
    ",",
]
DIMENSIONS = 16
MAX_LENGTH = 12
PROBE_TEXTS = ("a", "b c", "the cat sat on the mat", "hello world", "dogs", "unknowable", "a b c d")
PROMPTS = {"query": "query: ", "passage": ""}

_random = np.random.default_rng(7)
TABLE = _random.normal(size=(len(WORDS), DIMENSIONS)).astype(np.float32)


def reference(ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean-pooled vector of one input's ids, before normalization: (D,)."""
    mean: NDArray[np.float32] = np.tanh(TABLE[ids]).mean(axis=0, dtype=np.float32)
    return mean


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector at length 1."""
    return vector / np.float32(np.linalg.norm(vector))


def tokenizer() -> Tokenizer:
    """WordPiece over `WORDS`, with truncation and padding of its own that the service must undo."""
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token=WORDS[1]))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    made.enable_padding(length=32)
    made.enable_truncation(5)
    return made


def ids_of(text: str) -> NDArray[np.int64]:
    """The ids that the service must find for a text, as long as it fits."""
    plain = tokenizer()
    plain.no_padding()
    plain.no_truncation()
    return np.array(plain.encode(text).ids, np.int64)


def build(folder: Path) -> Manifest:
    """Write a complete exported model to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bare = folder / "bare.onnx"
    onnx.save(_encoder(), bare)
    inputs, outputs = graft(bare, folder, "mean")
    bare.unlink()
    tokenizer().save(str(folder / TOKENIZER_FILE))
    ids = tuple(map(ids_of, PROBE_TEXTS))
    vectors = np.stack([reference(one) for one in ids])
    Probes(PROBE_TEXTS, tuple(map(TokenizedInput, ids)), vectors).write(folder / PROBES_FILE)
    manifest = Manifest(
        schema=SCHEMA,
        source=Source("tests/tiny", None, "BertModel", "bert"),
        fingerprint="f" * 64,
        task="embedding",
        pooling="mean",
        dimensions=DIMENSIONS,
        max_input_length=MAX_LENGTH,
        vocabulary_size=len(WORDS),
        padding=Padding(id=0, type_id=0, side="right"),
        normalize=True,
        similarity="cosine",
        prompts=PROMPTS,
        default_prompt_name=None,
        graphs=(Graph(GRAPH_FILE, "float32", ("cpu", "cuda"), inputs, outputs),),
        files={},
        tools={},
        created="2026-01-01T00:00:00+00:00",
    )
    return seal(folder, manifest)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Record the digests of the folder's files in its manifest."""
    files = {path.name: file_digest(path) for path in folder.iterdir() if path.suffix != ".json"}
    files[TOKENIZER_FILE] = file_digest(folder / TOKENIZER_FILE)
    sealed = replace(manifest, files=files)
    sealed.write(folder)
    return sealed


def _encoder() -> onnx.ModelProto:
    """tanh(table[ids]), with the inputs and the output that a converted BERT has."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked_up"]),
        helper.make_node("Tanh", ["looked_up"], ["last_hidden_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ("b", "s")) for name in names],
        [
            helper.make_tensor_value_info(
                "last_hidden_state", TensorProto.FLOAT, ("b", "s", DIMENSIONS)
            )
        ],
        [numpy_helper.from_array(TABLE, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
