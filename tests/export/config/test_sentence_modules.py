"""Sentence modules: poolings in both notations, module paths old and new, refusals by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.config import sentence_modules
from export.errors import ExportError
from tests.support.modules import NEW, OLD, put, write


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ["cls"]),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, ["mean"]),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}, ["last_token"]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ["cls", "mean"]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ["mean_sqrt_len_tokens"]),
        ({"pooling_mode": "cls"}, ["cls"]),
        ({"pooling_mode": ["weightedmean", "max"]}, ["weightedmean", "max"]),
        ({"pooling_mode": "lasttoken"}, ["last_token"]),
        # As in sentence-transformers, which takes the mean by default.
        ({"pooling_mode_mean_tokens": False}, ["mean"]),
    ],
)
def test_pooling_in_either_notation(
    tmp_path: Path, config: dict[str, Any], expected: list[str]
) -> None:
    assert list(sentence_modules.read(write(tmp_path, config)).poolings) == expected


def test_other_poolings_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="pooling median is not supported, only cls, mean"):
        sentence_modules.read(write(tmp_path, {"pooling_mode": "median"}))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "custom_st.Transformer",  # jina-embeddings-v3 in its first version
            "module custom_st.Transformer is code of the repository: export "
            "jinaai/jina-embeddings-v3-hf, the same weights for transformers, by make "
            "setup-transformers5 and --adapter retrieval_query (or another of its adapters)",
        ),
        (
            OLD + "CNN",
            f"sentence-transformers module {OLD}CNN is not supported, only Transformer, Pooling, "
            "Dense, LayerNorm, Normalize, SpladePooling, LogitScore: choose another model",
        ),
        (
            "their.Pooling",
            "sentence-transformers module their.Pooling is not supported, only Transformer, "
            "Pooling, Dense, LayerNorm, Normalize, SpladePooling, LogitScore: choose another model",
        ),
    ],
)
def test_the_refusal_of_other_modules_names_what_helps(
    tmp_path: Path, kind: str, message: str
) -> None:
    folder = write(tmp_path, {"pooling_mode": "mean"}, kind)
    with pytest.raises(ExportError) as caught:
        sentence_modules.read(folder)
    assert str(caught.value) == f"{folder / 'modules.json'}: {message}"


@pytest.mark.parametrize("prefix", ["old", "new"])
def test_old_and_new_module_types(tmp_path: Path, prefix: str) -> None:
    names = ("Transformer", "Pooling", "Normalize")
    types = [NEW[name] if prefix == "new" else OLD + name for name in names]
    modules = sentence_modules.read(write(tmp_path, {"pooling_mode": "mean"}, *types))
    assert (modules.poolings, modules.normalize) == (("mean",), True)


def test_modules_without_normalize(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "cls"}, OLD + "Transformer", OLD + "Pooling")
    assert not sentence_modules.read(folder).normalize


def test_encoder_alone_leaves_the_pooling_open(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "cls"}, OLD + "Transformer")
    assert sentence_modules.read(folder).poolings == ()


def test_include_prompt_is_true_unless_denied(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "mean", "include_prompt": False})
    assert not sentence_modules.read(folder).include_prompt
    assert sentence_modules.read(folder.parent).include_prompt


@pytest.mark.parametrize(
    "kind",
    [
        OLD + "WordEmbeddings",
        "sentence_transformers.sparse_encoder.models.IDF",
        "pylate.models.Other",
        "custom_code.Pooling",
    ],
)
def test_other_modules_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path, {}, OLD + "Transformer", kind)
    with pytest.raises(ExportError) as refusal:
        sentence_modules.read(folder)
    assert f"module {kind} is not supported" in str(refusal.value)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"type": OLD + "Transformer"}], "is not a module with a type and a path"),
        ({"type": 3}, "is not a module"),
        ([], "lists no modules"),
        (
            [{"type": OLD + "Pooling", "path": "1"}, {"type": OLD + "Transformer", "path": ""}],
            "must begin with a Transformer",
        ),
        ([{"type": OLD + "Transformer", "path": "../../etc"}], "leads out of the checkpoint"),
        (
            [{"type": OLD + "Transformer", "path": ""}, {"type": OLD + "Normalize", "path": ""}],
            "module sentence_transformers.models.Normalize is not supported in its place",
        ),
    ],
)
def test_malformed_module_lists_are_refused(tmp_path: Path, modules: Any, message: str) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=message):
        sentence_modules.read(tmp_path)


def test_encoder_may_lie_in_a_folder(tmp_path: Path) -> None:
    entries = [{"type": OLD + "Transformer", "path": "0_Transformer"}]
    put(tmp_path / "modules.json", entries)
    assert sentence_modules.read(tmp_path).encoder == "0_Transformer"
