"""Sentence modules: poolings in both notations, module paths old and new, refusals by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from export import sentence_modules
from export.errors import ExportError

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
}


def write(folder: Path, pooling: dict[str, Any], *types: str) -> Path:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    if types:
        entries = [
            {
                "idx": i,
                "name": str(i),
                "path": f"{i}_{kind.rpartition('.')[2]}" if i else "",
                "type": kind,
            }
            for i, kind in enumerate(types)
        ]
        (folder / "modules.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}, "last_token"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last_token"),
        ({"pooling_mode_mean_tokens": False}, None),
        ({}, None),
    ],
)
def test_pooling_in_either_notation(
    tmp_path: Path, config: dict[str, Any], expected: str | None
) -> None:
    assert sentence_modules.read(write(tmp_path, config)).pooling() == expected


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode": ["cls", "mean"]}, "cls + mean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "cls + max"),
    ],
)
def test_other_poolings_are_refused_by_name(
    tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    modules = sentence_modules.read(write(tmp_path, config))
    with pytest.raises(ExportError) as refusal:
        modules.pooling()
    assert f"pooling {named} is not supported" in str(refusal.value)


@pytest.mark.parametrize("prefix", ["old", "new"])
def test_old_and_new_module_types(tmp_path: Path, prefix: str) -> None:
    names = ("Transformer", "Pooling", "Normalize")
    types = [NEW[name] if prefix == "new" else OLD + name for name in names]
    modules = sentence_modules.read(write(tmp_path, {"pooling_mode": "mean"}, *types))
    assert (modules.pooling(), modules.normalize) == ("mean", True)


def test_modules_without_normalize(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "cls"}, OLD + "Transformer", OLD + "Pooling")
    assert not sentence_modules.read(folder).normalize


def test_encoder_alone_leaves_the_pooling_open(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "cls"}, OLD + "Transformer")
    assert sentence_modules.read(folder).pooling() is None


def test_include_prompt_is_true_unless_denied(tmp_path: Path) -> None:
    folder = write(tmp_path, {"pooling_mode": "mean", "include_prompt": False})
    assert not sentence_modules.read(folder).include_prompt
    assert sentence_modules.read(folder.parent).include_prompt


@pytest.mark.parametrize(
    "kind",
    [
        OLD + "Dense",
        NEW["Dense"],
        OLD + "WordEmbeddings",
        "sentence_transformers.sparse_encoder.models.IDF",
        "pylate.models.Dense.Dense",
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
        ([], "modules must be Transformer, then Pooling, then Normalize"),
        (
            [{"type": OLD + "Pooling", "path": "1"}, {"type": OLD + "Transformer", "path": ""}],
            "modules must be",
        ),
        ([{"type": OLD + "Transformer", "path": "../../etc"}], "leads out of the checkpoint"),
        ([{"type": OLD + "Transformer", "path": "0_Transformer"}], "encoder lies in '0_Trans"),
    ],
)
def test_malformed_module_lists_are_refused(tmp_path: Path, modules: Any, message: str) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=message):
        sentence_modules.read(tmp_path)
