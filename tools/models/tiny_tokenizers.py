"""Tokenizers of every kind that encoders have, small, and the same at every run.

Their words are those of the export's probe texts, so that many scripts are in them.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from export import probe_texts

_CORPUS = probe_texts.texts(64)
_SIZE = 600
_METASPACE = pre_tokenizers.Sequence(
    [
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
    ]
)


@dataclass(frozen=True)
class Family:
    """Special tokens, in the order of their ids, and what is put around a text."""

    specials: tuple[str, ...]
    single: str  # in the words of TemplateProcessing
    pair: str
    config: Mapping[str, Any]  # of tokenizer_config.json
    make: Callable[[tuple[str, ...]], Tokenizer]


def build(family: Family) -> Tokenizer:
    """The tokenizer of a family."""
    made = family.make(family.specials)
    made.add_special_tokens([AddedToken(one, special=True) for one in family.specials])
    around = [one for one in family.specials if one in f"{family.single} {family.pair}"]
    template = processors.TemplateProcessing(
        single=family.single,
        pair=family.pair,
        special_tokens=[(one, made.token_to_id(one)) for one in around],
    )
    made.post_processor = template
    return made


def _word_pieces(specials: tuple[str, ...]) -> Tokenizer:
    normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in _CORPUS:
        words.update(word for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))
    pieces = [*specials, *letters, *(f"##{letter}" for letter in letters), *frequent]
    vocabulary = {piece: i for i, piece in enumerate(list(dict.fromkeys(pieces))[: 2 * _SIZE])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=_unknown(specials)))
    made.normalizer, made.pre_tokenizer = normalizer, split
    made.decoder = decoders.WordPiece()
    return made


def _byte_pairs(specials: tuple[str, ...], *, more: tuple[str, ...] = ()) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_SIZE,
        special_tokens=list(specials),
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator((*_CORPUS, *more), trainer)
    return made


def _answering(specials: tuple[str, ...]) -> Tokenizer:
    """Add the tokens `yes` and `no`."""
    return _byte_pairs(specials, more=("yes", "no") * 100)


def _unigrams(specials: tuple[str, ...]) -> Tokenizer:
    """Made without a trainer, which numbers rare letters at random."""
    words = Counter(word for text in _CORPUS for word, _ in _METASPACE.pre_tokenize_str(text))
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))[:_SIZE]
    pieces = dict.fromkeys(specials, 0.0) | dict.fromkeys(letters, -12.0)
    for rank, word in enumerate(frequent):
        pieces.setdefault(word, -5.0 - rank / 100)
    unknown = specials.index(_unknown(specials))
    made = Tokenizer(models.Unigram(list(pieces.items()), unk_id=unknown, byte_fallback=False))
    made.pre_tokenizer = _METASPACE
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return made


def _unknown(specials: tuple[str, ...]) -> str:
    return next(one for one in specials if "unk" in one.lower())


def _named(tokenizer_class: str, names: str, **config: Any) -> dict[str, Any]:
    """`tokenizer_config.json`: which special token plays which part, as `pad=[PAD] …`."""
    parts = dict(one.split("=") for one in names.split())
    return {
        "tokenizer_class": tokenizer_class,
        **{f"{part}_token": token for part, token in parts.items()},
        **config,
    }


_PLAIN = "PreTrainedTokenizerFast"
_BERT = "pad=[PAD] unk=[UNK] cls=[CLS] sep=[SEP] mask=[MASK]"
_ROBERTA = "pad=<pad> unk=<unk> cls=<s> sep=</s> bos=<s> eos=</s> mask=<mask>"
_UNTYPED = ["input_ids", "attention_mask"]
_WITH_TYPES = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_TWO_ENDS = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")


def _qwen(*end: str, model: Callable[..., Any] = _byte_pairs) -> Family:
    """Qwen's, with a token behind each text or with none."""
    return Family(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        " ".join(("$A", *end)),
        " ".join(("$A $B", *end)),
        _named("Qwen2Tokenizer", "pad=<|endoftext|> eos=<|im_end|>", padding_side="left"),
        model,
    )


FAMILIES: Mapping[str, Family] = {
    "bert": Family(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *_WITH_TYPES,
        _named("BertTokenizer", _BERT, do_lower_case=True),
        _word_pieces,
    ),
    "distilbert": Family(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "[CLS] $A [SEP]",
        "[CLS] $A [SEP] $B [SEP]",
        _named("DistilBertTokenizer", _BERT, do_lower_case=True, model_input_names=_UNTYPED),
        _word_pieces,
    ),
    "mpnet": Family(
        ("<s>", "<pad>", "</s>", "[UNK]", "<mask>"),
        *_TWO_ENDS,
        _named("MPNetTokenizer", _ROBERTA.replace("<unk>", "[UNK]"), do_lower_case=True),
        _word_pieces,
    ),
    "roberta": Family(
        ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        *_TWO_ENDS,
        _named("RobertaTokenizer", _ROBERTA, add_prefix_space=False),
        _byte_pairs,
    ),
    "xlm-roberta": Family(
        ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        *_TWO_ENDS,
        _named("XLMRobertaTokenizer", _ROBERTA),
        _unigrams,
    ),
    "camembert": Family(
        ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        *_TWO_ENDS,
        _named("CamembertTokenizer", _ROBERTA),
        _unigrams,
    ),
    "albert": Family(
        ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        *_WITH_TYPES,
        _named("AlbertTokenizer", "pad=<pad> unk=<unk> cls=[CLS] sep=[SEP] mask=[MASK]"),
        _unigrams,
    ),
    "deberta-v2": Family(
        ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"),
        *_WITH_TYPES,
        _named("DebertaV2Tokenizer", _BERT),
        _unigrams,
    ),
    "t5": Family(
        ("<pad>", "</s>", "<unk>"),
        "$A </s>",
        "$A </s> $B </s>",
        _named("T5Tokenizer", "pad=<pad> unk=<unk> eos=</s>", extra_ids=0),
        _unigrams,
    ),
    "modernbert": Family(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "[CLS] $A [SEP]",
        "[CLS] $A [SEP] $B [SEP]",
        _named(_PLAIN, _BERT, model_input_names=_UNTYPED),
        _byte_pairs,
    ),
    "qwen": _qwen("<|endoftext|>"),
    # A decoder that classifies looks for its padding token, which must not end the text then.
    "qwen-classifier": _qwen(),
    # A decoder that answers yes or no.
    "qwen-reranker": _qwen(model=_answering),
    "llama": Family(
        ("<unk>", "<s>", "</s>", "<pad>"),
        "<s> $A </s>",
        "<s> $A </s> <s> $B </s>",
        _named(_PLAIN, "pad=<pad> unk=<unk> bos=<s> eos=</s>", padding_side="left"),
        _byte_pairs,
    ),
    "gemma": Family(
        ("<pad>", "<eos>", "<bos>", "<unk>"),
        "<bos> $A <eos>",
        "<bos> $A <eos> <bos> $B <eos>",
        _named(_PLAIN, "pad=<pad> unk=<unk> bos=<bos> eos=<eos>"),
        _byte_pairs,
    ),
}
