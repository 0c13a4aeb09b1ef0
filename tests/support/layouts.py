"""Repositories as their authors laid them out, with tiny random weights.

Files, module lists, names of keys, position offsets and limits are those of the real ones; widths,
vocabularies and layers are not.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from export.from_torch import convert
from tests.support.tiny_checkpoints import make_tokenizer, write_json

library: Any = transformers  # its classes carry no types

_POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
_LATER_POOLINGS = ("weightedmean_tokens", "lasttoken")
_BERT = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
_WORDS = "what is the capital of france paris a man playing guitar rain ok hello world"
_LETTERS = "abcdefghijklmnopqrstuvwxyzéüßöñçабвгд你好世界0123456789.,:;!?'\"()-/@"
MODULES = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))


def write_bge(folder: Path, width: int) -> None:
    """Write bge-small, bge-base and bge-large-en-v1.5: CLS, lower case, 512 tokens."""
    _bert(folder, width, name="BAAI/bge", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})
    _sentences(folder, width, "cls_token", _POOLINGS)
    limits = {"max_seq_length": 512, "do_lower_case": True}
    write_json(folder / "sentence_bert_config.json", limits)
    shutil.copyfile(folder / "tokenizer.json", folder / "onnx/tokenizer.json")
    shutil.copyfile(folder / "config.json", folder / "onnx/config.json")


def write_minilm(folder: Path) -> None:
    """all-MiniLM-L6-v2: mean, 256 tokens, a tokenizer that pads and cuts by itself to 128."""
    _bert(folder, 24, name="nreimers/MiniLM-L6-H384-uncased", gradient_checkpointing=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(folder / "tokenizer.json"))
    _sentences(folder, 24, "mean_tokens", _POOLINGS)
    limits = {"max_seq_length": 256, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", limits)
    write_json(folder / "data_config.json", [{"name": "pairs.jsonl.gz", "lines": 1, "weight": 1}])
    for name in ("rust_model.ot", "tf_model.h5", "onnx/model_O4.onnx", "train_script.py"):
        (folder / name).write_bytes(b"for other programs")


def write_m3(folder: Path) -> None:
    """bge-m3: XLM-RoBERTa of 8,194 positions, weights as pickles only, two heads for tokens."""
    folder.mkdir(parents=True)
    tokenizer = _unigram()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentencepiece.bpe.model").write_bytes(b"for tokenizers without a fast form")
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"}
    special = {f"{role}_token": text for role, text in names.items()} | {"unk_token": "<unk>"}
    mask = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False}
    limits = {"model_max_length": 8192, "clean_up_tokenization_spaces": True}
    write_json(
        folder / "tokenizer_config.json",
        special
        | limits
        | {"tokenizer_class": "XLMRobertaTokenizer", "sp_model_kwargs": {}}
        | {"mask_token": {"__type": "AddedToken", "single_word": False, **mask}},
    )
    write_json(
        folder / "special_tokens_map.json", special | {"mask_token": mask | {"single_word": False}}
    )
    torch.manual_seed(11)
    config = library.XLMRobertaConfig(
        architectures=["XLMRobertaModel"],
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=1,  # each takes 268 MB for 8,192 tokens
        intermediate_size=32,
        max_position_embeddings=8194,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        initializer_range=0.5,
        output_past=True,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    model = library.XLMRobertaModel(config)
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    for name, outputs in (("sparse", 1), ("colbert", 12)):
        torch.save(torch.nn.Linear(16, outputs).half().state_dict(), folder / f"{name}_linear.pt")
    _sentences(folder, 16, "cls_token", (*_POOLINGS, *_LATER_POOLINGS))
    limits = {"max_seq_length": 8192, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", limits)
    _convert(folder)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(folder / name, folder / "onnx" / name)
    (folder / "imgs").mkdir()
    (folder / "imgs/bm25.jpg").write_bytes(b"a picture")


LAYOUTS: Mapping[str, Callable[[Path], None]] = {
    "BAAI/bge-small-en-v1.5": lambda folder: write_bge(folder, 24),
    "BAAI/bge-base-en-v1.5": lambda folder: write_bge(folder, 32),
    "BAAI/bge-large-en-v1.5": lambda folder: write_bge(folder, 40),
    "sentence-transformers/all-MiniLM-L6-v2": write_minilm,
    "BAAI/bge-m3": write_m3,
}


def _bert(folder: Path, width: int, *, name: str, **more: Any) -> None:
    """BERT with its pooler and its position ids among the weights, in both forms, and as ONNX."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer(_BERT, "[CLS]", "[SEP]")
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda one: one[1])
    (folder / "vocab.txt").write_text("\n".join(piece for piece, _ in vocabulary) + "\n")
    roles = dict(zip(("pad", "cls", "sep", "unk", "mask"), _BERT, strict=True))
    special = {f"{role}_token": text for role, text in roles.items()}
    write_json(folder / "special_tokens_map.json", special)
    known = {"do_basic_tokenize": True, "never_split": None, "strip_accents": None}
    write_json(
        folder / "tokenizer_config.json",
        special
        | known
        | {"tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer"}
        | {"do_lower_case": True, "model_max_length": 512},
    )
    torch.manual_seed(width)
    config = library.BertConfig(
        _name_or_path=name,
        architectures=["BertModel"],
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * width,
        initializer_range=0.5,
        **more,
    )
    model = library.BertModel(config)
    config.save_pretrained(folder)
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    weights["embeddings.position_ids"] = torch.arange(512)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    torch.save(weights, folder / "pytorch_model.bin")
    _convert(folder)


def _sentences(folder: Path, width: int, pooling: str, modes: tuple[str, ...]) -> None:
    types = "sentence_transformers.models."
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": types + kind}
        for i, (kind, path) in enumerate(MODULES)
    ]
    write_json(folder / "modules.json", entries)
    flags = {f"pooling_mode_{mode}": mode == pooling for mode in modes}
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": width} | flags)
    versions = {"sentence_transformers": "2.2.2", "transformers": "4.28.1", "pytorch": "1.13.0"}
    write_json(folder / "config_sentence_transformers.json", {"__version__": versions})
    (folder / "README.md").write_text("# A model\n")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")


def _convert(folder: Path) -> None:
    scratch = folder.parent / "scratch"
    (folder / "onnx").mkdir()
    shutil.move(convert.convert(folder, scratch), folder / "onnx/model.onnx")
    shutil.rmtree(scratch)


def _unigram() -> Tokenizer:
    """SentencePiece's kind, with the ids of XLM-RoBERTa: the mask comes last."""
    pieces = [f"▁{word}" for word in _WORDS.split()] + ["▁", *_LETTERS, *_LETTERS.upper()]
    scored = [(piece, -1.0 - len(piece) ** -1) for piece in dict.fromkeys(pieces)]
    special = ("<s>", "<pad>", "</s>", "<unk>")
    tokenizer = Tokenizer(models.Unigram([*((one, 0.0) for one in special), *scored], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer
