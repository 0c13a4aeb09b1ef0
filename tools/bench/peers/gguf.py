"""A BERT checkpoint as llama.cpp reads it: a GGUF file in F16 or Q8_0, written with NumPy alone.

The layout is that of version 3 of the format; names and which weights stay in float32 are those of
llama.cpp's own converter (`conversion/bert.py`).
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Weights = Literal["F16", "Q8_0"]

ALIGNMENT = 32  # bytes
BLOCK = 32  # weights that share a scale in Q8_0
_TENSOR_TYPES = {"F32": 0, "F16": 1, "Q8_0": 8}
_FILE_TYPES: Mapping[Weights, int] = {"F16": 1, "Q8_0": 7}
_POOLINGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2}
_NORMAL, _CONTROL = 1, 3  # kinds of tokens
_OF_MODEL = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_OF_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_ALWAYS_FLOAT32 = ("position_embd.weight", "token_types.weight")


def write(checkpoint: Path, place: Path, weights: Weights) -> None:
    """Write a checkpoint's GGUF to a file.

    Raises: ValueError where it is not a BERT with WordPiece that pools by mean or first token.
    """
    config = json.loads((checkpoint / "config.json").read_text())
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    if config.get("model_type") != "bert" or tokenizer["model"].get("type") != "WordPiece":
        raise ValueError("llama.cpp is compared with BERT models that have a WordPiece tokenizer")
    facts = {**_model(config, checkpoint), **_vocabulary(tokenizer)}
    facts["general.file_type"] = _FILE_TYPES[weights]
    tensors = dict(_tensors(load_file(checkpoint / "model.safetensors")))
    infos, blobs, offset = b"", [], 0
    for name, values in tensors.items():
        kind = _kind(name, values, weights)
        blob = _padded(_encoded(values, kind))
        dimensions = values.shape[::-1]  # the axis that varies fastest comes first
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        infos += _text(name) + shape + struct.pack("<IQ", _TENSOR_TYPES[kind], offset)
        blobs.append(blob)
        offset += len(blob)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    head += b"".join(_text(name) + _value(value) for name, value in facts.items())
    place.write_bytes(_padded(head + infos) + b"".join(blobs))


def quantized(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Weights of 8 bits: for each 32 in a row a scale in float16, and that many integers."""
    blocks = values.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127
    steps = np.rint(blocks / np.where(scales == 0, 1, scales)).astype(np.int8)
    return np.hstack([scales.astype(np.float16).view(np.uint8), steps.view(np.uint8)])


def _model(config: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    pooling = json.loads((checkpoint / "1_Pooling" / "config.json").read_text())
    found = [number for name, number in _POOLINGS.items() if pooling.get(name)]
    if len(found) != 1:
        raise ValueError("llama.cpp is compared with models that pool by mean or first token")
    return {
        "general.architecture": "bert",
        "general.name": checkpoint.name,
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "bert.attention.causal": False,
        "bert.pooling_type": found[0],
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
    }


def _vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens as llama.cpp has them: marked where a word begins, not where it goes on."""
    ids: Mapping[str, int] = tokenizer["model"]["vocab"]
    special = {one["content"] for one in tokenizer.get("added_tokens", []) if one["special"]}
    tokens = sorted(ids, key=ids.__getitem__)
    named = {
        "unknown": tokenizer["model"]["unk_token"],
        "cls": "[CLS]",
        "seperator": "[SEP]",  # misspelt in llama.cpp
        "padding": "[PAD]",
        "mask": "[MASK]",
    }
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [_piece(token, token in special) for token in tokens],
        "tokenizer.ggml.token_type": [
            _CONTROL if token in special else _NORMAL for token in tokens
        ],
        **{
            f"tokenizer.ggml.{what}_token_id": ids[token]
            for what, token in named.items()
            if token in ids
        },
    }


def _piece(token: str, is_special: bool) -> str:
    if is_special:
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def _tensors(
    stored: Mapping[str, NDArray[np.float32]],
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each weight that an embedding needs, by llama.cpp's name."""
    for name, values in stored.items():
        part, _, kind = name.removeprefix("bert.").rpartition(".")
        if part in _OF_MODEL:
            yield f"{_OF_MODEL[part]}.{kind}", values.astype(np.float32)
        elif part.startswith("encoder.layer."):
            _, _, number, inner = part.split(".", 3)
            yield f"blk.{number}.{_OF_LAYER[inner]}.{kind}", values.astype(np.float32)


def _kind(name: str, values: NDArray[np.float32], weights: Weights) -> str:
    """Return how a weight is stored: as asked for, if it is a matrix with rows of whole blocks."""
    if values.ndim == 1 or name in _ALWAYS_FLOAT32:
        return "F32"
    return "F16" if values.shape[-1] % BLOCK else weights


def _encoded(values: NDArray[np.float32], kind: str) -> bytes:
    if kind == "Q8_0":
        return quantized(values).tobytes()
    return values.astype(np.float16 if kind == "F16" else np.float32).tobytes()


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % ALIGNMENT)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _value(value: bool | int | float | str | Sequence[str] | Sequence[int]) -> bytes:
    """Return a value of the metadata, after its type."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case [str(), *_]:
            texts = b"".join(_text(str(one)) for one in value)
            return struct.pack("<IIQ", 9, 8, len(value)) + texts
        case _:
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
