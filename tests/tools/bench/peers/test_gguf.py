"""GGUF files of BERT checkpoints: what is written, read back by the format's own description."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tools.bench.peers import gguf

HIDDEN = 64
RANDOM = np.random.default_rng(1)
WEIGHTS = {
    "embeddings.word_embeddings.weight": RANDOM.normal(size=(6, HIDDEN)).astype(np.float32),
    "embeddings.position_embeddings.weight": RANDOM.normal(size=(8, HIDDEN)).astype(np.float32),
    "embeddings.LayerNorm.bias": RANDOM.normal(size=HIDDEN).astype(np.float32),
    "encoder.layer.3.attention.self.query.weight": RANDOM.normal(size=(HIDDEN, HIDDEN)).astype(
        np.float32
    ),
    "encoder.layer.3.output.dense.bias": RANDOM.normal(size=HIDDEN).astype(np.float32),
    "pooler.dense.bias": np.zeros(HIDDEN, np.float32),  # not used by an embedding
}
CONFIG = {
    "model_type": "bert", "max_position_embeddings": 8, "hidden_size": HIDDEN,
    "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2,
    "layer_norm_eps": 1e-12, "type_vocab_size": 2,
}  # fmt: skip
VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4, "##s": 5}
TOKENIZER = {
    "model": {"type": "WordPiece", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    "added_tokens": [{"content": name, "special": True} for name in list(VOCABULARY)[:4]],
}


def checkpoint(folder: Path, **changes: Any) -> Path:
    """A checkpoint with parts of a BERT."""
    (folder / "1_Pooling").mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    save_file(WEIGHTS, folder / "model.safetensors")
    return folder


class Read:
    """The content of a GGUF file."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0
        assert self.take(4) == b"GGUF"
        version, tensors, facts = self.unpack("<IQQ")
        assert version == 3
        self.facts = {self.text(): self.value() for _ in range(facts)}
        self.tensors = {}
        for _ in range(tensors):
            name = self.text()
            [count] = self.unpack("<I")
            self.tensors[name] = (*self.unpack(f"<{count}Q"), *self.unpack("<IQ"))
        self.data = self.place + -self.place % 32

    def take(self, size: int) -> bytes:
        self.place += size
        return self.content[self.place - size : self.place]

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> str:
        [size] = self.unpack("<Q")
        return self.take(size).decode()

    def value(self) -> Any:
        [kind] = self.unpack("<I")
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.unpack("<IQ")
            return [self.text() if inner == 8 else self.unpack("<i")[0] for _ in range(count)]
        [found] = self.unpack({4: "<I", 6: "<f", 7: "<?"}[kind])
        return found


def read(folder: Path, weights: gguf.Weights) -> Read:
    """Write a checkpoint, and read the result."""
    place = folder / "model.gguf"
    gguf.write(checkpoint(folder), place, weights)
    return Read(place.read_bytes())


def test_facts_and_tokens_are_named_as_llama_cpp_names_them(tmp_path: Path) -> None:
    facts = read(tmp_path, "F16").facts
    assert facts["general.architecture"] == "bert"
    assert facts["bert.embedding_length"] == HIDDEN
    assert facts["bert.attention.causal"] is False
    assert facts["bert.pooling_type"] == 1
    assert facts["tokenizer.ggml.tokens"] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581cat", "s"]
    assert facts["tokenizer.ggml.token_type"] == [3, 3, 3, 3, 1, 1]
    assert facts["tokenizer.ggml.seperator_token_id"] == 3
    assert "tokenizer.ggml.mask_token_id" not in facts


@pytest.mark.parametrize(("weights", "kind"), [("F16", 1), ("Q8_0", 8)])
def test_matrices_are_stored_as_asked_for_and_the_rest_in_float32(
    tmp_path: Path, weights: gguf.Weights, kind: int
) -> None:
    tensors = read(tmp_path, weights).tensors
    assert {name: found[:-1] for name, found in tensors.items()} == {
        "token_embd.weight": (HIDDEN, 6, kind),
        "position_embd.weight": (HIDDEN, 8, 0),
        "token_embd_norm.bias": (HIDDEN, 0),
        "blk.3.attn_q.weight": (HIDDEN, HIDDEN, kind),
        "blk.3.ffn_down.bias": (HIDDEN, 0),
    }
    assert all(found[-1] % 32 == 0 for found in tensors.values())


def test_weights_lie_where_the_file_says(tmp_path: Path) -> None:
    found = read(tmp_path, "F16")
    *_, offset = found.tensors["blk.3.attn_q.weight"]
    stored = np.frombuffer(found.content, np.float16, HIDDEN * HIDDEN, found.data + offset)
    expected = WEIGHTS["encoder.layer.3.attention.self.query.weight"].astype(np.float16)
    assert np.array_equal(stored.reshape(HIDDEN, HIDDEN), expected)


def test_eight_bits_come_within_half_a_step_of_each_weight() -> None:
    values = RANDOM.normal(size=(4, HIDDEN)).astype(np.float32)
    values[0, :32] = 0
    blocks = gguf.quantized(values)
    assert blocks.shape == (8, 34)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    back = scales * blocks[:, 2:].copy().view(np.int8)
    # The scale itself is rounded to float16: up to 127 steps of an error of 2 to the -11th.
    assert np.all(np.abs(back - values.reshape(-1, 32)) <= scales * (0.5 + 127 * 2**-11))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, model_type="roberta")
    with pytest.raises(ValueError, match="BERT models that have a WordPiece tokenizer"):
        gguf.write(folder, tmp_path / "model.gguf", "F16")
