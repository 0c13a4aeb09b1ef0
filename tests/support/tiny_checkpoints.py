"""Tiny checkpoints with random weights, as Hugging Face's libraries write them."""

import json
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_WORDS = (
    "the a of and to in is was that for it on with at by from this have not are guitar rain old "
    "song stage capital france paris market monday water sea dough rest train city music python"
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-/@"


def make_tokenizer(specials: tuple[str, ...], first: str, last: str) -> Tokenizer:
    pieces = [*specials, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS.split()]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=specials[3]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(specials))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(text, vocabulary[text]) for text in (first, last)],
    )
    return tokenizer


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_modules(folder: Path, pooling: str, *, normalize: bool = True, width: int = 32) -> None:
    names = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "type": f"sentence_transformers.models.{name}",
            "path": f"{i}_{name}" if i else "",
        }
        for i, name in enumerate(names)
    ]
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": width, f"pooling_mode_{pooling}": True},
    )


def write_bert(folder: Path, seed: int = 0, positions: int = 64) -> Path:
    """Write BERT of two layers, mean pooling, 32 of its positions in use, one prompt."""
    # Not at the top: tests without weights must not wait for the import of torch.
    import torch
    import transformers

    library: Any = transformers  # its classes carry no types

    tokenizer = make_tokenizer(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[CLS]", "[SEP]")
    torch.manual_seed(seed)
    config = library.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.5,  # wide, so that different texts differ clearly
    )
    library.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer"} | {f"{k}_token": v for k, v in names.items()},
    )
    write_modules(folder, "mean_tokens")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32})
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "q: "}})
    return folder


def write_headed(folder: Path, architecture: str, **config: Any) -> Path:
    """Write the tiny BERT with a head: its own tokenizer and metadata, other weights."""
    import torch
    import transformers

    library: Any = transformers

    write_bert(folder)
    torch.manual_seed(3)
    whole = library.BertConfig.from_pretrained(folder, **config)
    getattr(library, architecture)(whole).save_pretrained(folder)
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    (folder / "config_sentence_transformers.json").unlink()
    (folder / "sentence_bert_config.json").unlink()
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", tokenizer | {"model_max_length": 32})
    return folder


def write_xlm_roberta(folder: Path) -> Path:
    """XLM-RoBERTa of two layers, cls pooling, padding id 1, 26 positions of which 24 serve."""
    import torch
    import transformers

    library: Any = transformers

    tokenizer = make_tokenizer(("<s>", "<pad>", "</s>", "<unk>"), "<s>", "</s>")
    torch.manual_seed(1)
    config = library.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=26,
        type_vocab_size=1,
        initializer_range=0.5,
    )
    library.XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad": "<pad>", "bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>"}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
        | {f"{k}_token": v for k, v in names.items()},
    )
    write_modules(folder, "cls_token", normalize=False)
    return folder
