"""Outputs: what stands behind an encoder, and the width of its result."""

from dataclasses import replace
from pathlib import Path

import pytest

from export.checkpoint import outputs
from export.config.documents import Document
from export.config.layers import Dense, Head
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError

CONFIG = Document(Path("config.json"), {"hidden_size": 32, "vocab_size": 100})
DENSE = Dense(Path("2_Dense"), 64, 48)
LAST = Dense(Path("3_Dense"), 48, 16)
MODULES = replace(SentenceModules.silent(), poolings=("mean", "max"), layers=(DENSE, LAST))


def test_each_kind_of_model_has_a_width() -> None:
    assert outputs.encoder_width("embedding", CONFIG, ()) == 32
    assert outputs.encoder_width("splade", CONFIG, ()) == 100
    assert outputs.encoder_width("classifier", CONFIG, ("sad", "glad", "neither")) == 3
    with pytest.raises(ExportError, match=r"config\.json has no usable `hidden_size`"):
        outputs.encoder_width("multi_vector", Document(Path("config.json"), {}), ())


def test_a_vector_is_as_wide_as_the_last_layer_or_where_it_is_cut() -> None:
    whole = Head(("mean", "max"), (DENSE, LAST))
    assert outputs.head(MODULES, None, 32, None) == (whole, 16)
    assert outputs.head(MODULES, None, 32, 8) == (replace(whole, cut=8), 8)
    assert outputs.head(MODULES, None, 32, 16) == (whole, 16)


def test_another_pooling_takes_the_place_of_its_own_where_nothing_stands_behind_it() -> None:
    plain = replace(MODULES, layers=())
    assert outputs.head(plain, None, 32, None) == (Head(("mean", "max")), 64)
    assert outputs.head(plain, "cls", 32, None) == (Head(("cls",)), 32)
    with pytest.raises(ExportError, match=r"--pooling cls is not possible: .* layers behind"):
        outputs.head(MODULES, "cls", 32, None)


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ExportError, match="2_Dense takes 64 values, and gets 32"):
        outputs.behind((DENSE,), 32)


def test_vectors_of_tokens_are_whole() -> None:
    assert outputs.token_width((LAST,), 48, None) == 16
    assert outputs.token_width((LAST,), 48, 16) == 16
    with pytest.raises(ExportError, match="truncate_dim 8 is not supported for vectors of tokens"):
        outputs.token_width((LAST,), 48, 8)
