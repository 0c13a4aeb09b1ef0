"""Tiny checkpoints, and one real export of them for the whole session."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import pipeline
from export.cli import Request
from tests.support import rerankers
from tests.support.configs import CONFIG, Write
from tests.support.tiny_checkpoints import write_bert, write_modules, write_xlm_roberta
from tests.support.token_heads import COLBERT, SPARSE, save
from tools import process
from tools.process import ROOT


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that every test may read and none may change."""
    return write_bert(tmp_path_factory.mktemp("checkpoints") / "tiny-bert")


@pytest.fixture(scope="session")
def exported(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of `bert`; to be read only."""
    return pipeline.export(Request(str(bert), models_dir=tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reranker whose prompt stands in its chat template; to be read only."""
    return rerankers.write(
        tmp_path_factory.mktemp("own") / "ranks", rerankers.LENGTH, rerankers.OWN
    )


@pytest.fixture(scope="session")
def saved(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`own` as sentence-transformers saves it; to be read only."""
    return rerankers.save(own, tmp_path_factory.mktemp("saved") / "saved")


@pytest.fixture
def xlm_roberta(tmp_path: Path) -> Path:
    return write_xlm_roberta(tmp_path / "tiny-xlm-roberta")


@pytest.fixture
def other_bert(tmp_path: Path) -> Path:
    """The same architecture with other weights, under the same name."""
    return write_bert(tmp_path / "other" / "tiny-bert", seed=7)


@pytest.fixture
def start_export() -> Callable[..., subprocess.Popen[str]]:
    """Start `python -m export` with the given arguments in a process of its own."""

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        variables = process.variables(environment)
        left_out = {k for k in variables if k.startswith(("HF_", "COV"))} - environment.keys()
        return process.start(
            [sys.executable, "-m", "export", *map(str, arguments)],
            cwd=ROOT,
            env={"HF_HUB_OFFLINE": "1"} | {k: variables[k] for k in variables.keys() - left_out},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts background jobs with SIGINT ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a checkpoint's JSON files; `config` is added to a BERT's, the rest replaces files."""

    def write(config: dict[str, Any] | None = None, **documents: Any) -> Path:
        named = {
            "config.json": CONFIG | (config or {}),
            "tokenizer.json": {},
            "1_Pooling/config.json": documents.get("pooling", {"pooling_mode": "mean"}),
            "modules.json": documents.get("modules"),
            "sentence_bert_config.json": documents.get("sentence"),
            "config_sentence_transformers.json": documents.get("sentence_transformers"),
            "tokenizer_config.json": documents.get("tokenizer"),
        }
        for name, content in named.items():
            if content is not None:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.fixture(scope="session")
def halved(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of `bert` with its graphs for GPUs; to be read only."""
    models_dir = tmp_path_factory.mktemp("models")
    return pipeline.export(Request(str(bert), models_dir=models_dir, dtypes=("float16",)))


@pytest.fixture
def m3(tmp_path: Path) -> Path:
    """The tiny XLM-RoBERTa with both heads."""
    folder = write_xlm_roberta(tmp_path / "tiny-m3")
    write_modules(folder, "cls_token")
    save(folder / SPARSE, 1)
    save(folder / COLBERT, 20)
    return folder
