"""sentence_bert_config.json: keys that are honoured, have no effect, or are refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.config import encoder_settings
from export.errors import ExportError


def write(folder: Path, name: str = "sentence_bert_config.json", **content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, None),
        ({"max_seq_length": 24}, 24),
        ({"max_seq_length": None}, None),
        ({"max_seq_length": 24, "processor_kwargs": {"model_max_length": 48}}, 48),
        ({"max_seq_length": 24, "tokenizer_args": {"model_max_length": 48}}, 48),
        ({"max_seq_length": 24, "processing_kwargs": {"text": {"max_length": 8}}}, 8),
        ({"processing_kwargs": {"common": {"max_length": 8}}}, 8),
        (
            {
                "processing_kwargs": {"text": {"max_length": 8}},
                "processor_kwargs": {"model_max_length": 48},
            },
            8,
        ),
    ],
)
def test_the_length_that_sentence_transformers_would_use(
    tmp_path: Path, content: dict[str, Any], expected: int | None
) -> None:
    assert encoder_settings.read(write(tmp_path, **content)).max_length == expected


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "xlnet", "albert"])
def test_older_names_of_the_file_are_read(tmp_path: Path, family: str) -> None:
    folder = write(tmp_path, f"sentence_{family}_config.json", max_seq_length=9, do_lower_case=True)
    assert encoder_settings.read(folder) == encoder_settings.EncoderSettings(9, lower_case=True)


@pytest.mark.parametrize(
    "content",
    [
        {"unpad_inputs": True},
        {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"},
        {"modality_config": {"text": {"method": "forward"}}},
        {"model_kwargs": {"dtype": "bfloat16", "attn_implementation": "sdpa"}},
        {"model_args": {"torch_dtype": "float16"}},
        {"config_args": {"add_pooling_layer": False}},
        {"processor_kwargs": {"padding_side": "left"}},
        {"processing_kwargs": {"text": {"padding": "max_length", "truncation": True}}},
    ],
)
def test_keys_without_effect_are_ignored(tmp_path: Path, content: dict[str, Any]) -> None:
    found = encoder_settings.read(write(tmp_path, **content))
    assert found == encoder_settings.EncoderSettings(None, lower_case=False)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"modality_config": {"message": {}}}, "modality_config with `message`"),
        ({"model_kwargs": {"num_hidden_layers": 1}}, "model_kwargs with num_hidden_layers"),
        ({"model_args": {"num_hidden_layers": 1}}, "model_args with num_hidden_layers"),
        ({"config_kwargs": {"hidden_act": "relu"}}, "config_kwargs with hidden_act"),
        ({"tokenizer_args": {"do_lower_case": True}}, "tokenizer_args with do_lower_case"),
        ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "add_special_tokens"),
        ({"processing_kwargs": {"text": {"truncation": "only_first"}}}, "'only_first'"),
        ({"processing_kwargs": {"text": 5}}, "text: 5 is not an object"),
        ({"processing_kwargs": {"text": {"max_length": "8"}}}, "max_length: '8'"),
    ],
)
def test_keys_that_change_the_model_are_refused_by_name(
    tmp_path: Path, content: dict[str, Any], named: str
) -> None:
    with pytest.raises(ExportError) as caught:
        encoder_settings.read(write(tmp_path, **content))
    assert named in str(caught.value)
    assert "sentence_bert_config.json" in str(caught.value)


def test_a_chat_is_read_where_the_caller_deals_with_it(tmp_path: Path) -> None:
    folder = write(tmp_path, modality_config={"message": {}}, max_seq_length=9)
    assert encoder_settings.read(folder, chats=True).max_length == 9
