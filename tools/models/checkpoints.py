"""Checkpoints of tiny models, laid out as the Hub has them.

`python -m tools.models.checkpoints NAME FOLDER SIDE` makes one in another environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tools.models.tiny_models import LENGTH, TINY_MODELS, TinyModel
from tools.models.tiny_tokenizers import FAMILIES, build

_CHAT = (
    "Q: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n"
    "D: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}\n"
    "A:"
)


def write(model: TinyModel, folder: Path, side: str = "right") -> Path:
    """Make the folder: weights, tokenizer, and what sentence-transformers writes beside them."""
    import torch
    import transformers

    library: Any = transformers  # its classes carry no types
    family = FAMILIES[model.tokenizer]
    tokenizer = build(family)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {**family.config, "padding_side": side, "model_max_length": LENGTH},
    )
    torch.manual_seed(11)
    made = getattr(library, model.model_class)
    config = made.config_class(
        **{**model.config, "vocab_size": tokenizer.get_vocab_size(), "dtype": "float32"}
    )
    made(config).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LENGTH})
    if model.task in {"embedding", "splade"}:
        _write_modules(model, folder)
    if model.answers:
        (folder / "chat_template.jinja").write_text(_CHAT)
    return folder


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _write_modules(model: TinyModel, folder: Path) -> None:
    types = "sentence_transformers.models."
    kinds = ["Transformer", "Pooling", *(["Dense"] if model.dense else []), "Normalize"]
    if model.task == "splade":
        types = "sentence_transformers.sparse_encoder.models."
        kinds = ["MLMTransformer", "SpladePooling"]
        write_json(folder / "1_SpladePooling/config.json", {"pooling_strategy": "max"})
        write_json(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})
    else:
        width = {"word_embedding_dimension": 32}
        pooling = {"pooling_mode": model.pooling, "include_prompt": model.include_prompt}
        write_json(folder / "1_Pooling/config.json", width | pooling)
        write_json(folder / "config_sentence_transformers.json", {"prompts": dict(model.prompts)})
    entries = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": types + kind}
        for i, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", entries)
    if model.dense:
        _write_dense(folder / "2_Dense", model.dense)


def _write_dense(folder: Path, outputs: int) -> None:
    import torch
    from safetensors.torch import save_file

    activation = "torch.nn.modules.linear.Identity"
    config = {"in_features": 32, "out_features": outputs, "bias": False}
    write_json(folder / "config.json", {**config, "activation_function": activation})
    linear = torch.nn.Linear(32, outputs, bias=False)
    save_file({"linear.weight": linear.weight.detach()}, folder / "model.safetensors")


def main(name: str, folder: str, side: str) -> None:
    """Make one model by its name."""
    [model] = [one for one in TINY_MODELS if one.name == name]
    write(model, Path(folder), side)


if __name__ == "__main__":
    main(*sys.argv[1:])
