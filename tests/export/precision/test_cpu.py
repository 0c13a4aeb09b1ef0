"""The CPU's graph: as close as the exact one, and without a text's attention in memory."""

import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.inference.providers.plan import ProviderRequest
from app.model.manifest import Manifest
from app.model.parts import Graph, Padding
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.precision import cpu, trial
from tests.support.loading import load_folder
from tests.support.tiny_checkpoints import write_bert, write_json
from tools.process import ROOT


def source(folder: Path, side: str = "right") -> trial.Model:
    manifest = Manifest.read(folder)
    padding = Padding(0, 0, "left" if side == "left" else "right")
    probes = Probes.read(folder / "probes.npz")
    return trial.Model(folder, manifest.graphs[0], padding, "embedding", probes)


def copied(exported: Path, folder: Path) -> Path:
    for path in exported.iterdir():
        if path.name != cpu.FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.slow
def test_it_is_published_with_the_exact_one_and_served_on_the_cpu(exported: Path) -> None:
    manifest = Manifest.read(exported)
    exact, fused, *_ = manifest.graphs
    assert "cpu" in exact.providers
    assert fused == Graph(
        cpu.FILE, "float32", ("cpu",), exact.inputs, exact.outputs, attention="fused"
    )
    assert manifest.certificates[0].graph == cpu.FILE
    assert not list(exported.glob("trial*"))
    assert (exported / cpu.FILE).stat().st_size < (exported / "model.onnx.data").stat().st_size
    model = load_folder(exported, ProviderRequest("cpu", "float32", threads=1))
    assert model.session.graph == fused


# Peak resident memory once a text of this many tokens has been computed.
_PROGRAM = """
import sys
from pathlib import Path
from app.model.batch import blank
from app.model.parts import Padding
from export.precision.trial import CpuSession

session = CpuSession(Path(sys.argv[1]), ("input_ids", "attention_mask", "token_type_ids"))
session.run(blank(1, int(sys.argv[2]), Padding(0, 0, "right")), ("sentence_embedding",))
print(Path("/proc/self/status").read_text())
"""


def peak(graph: Path, tokens: int) -> float:
    """Megabytes."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(graph), str(tokens)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.findall(r"VmHWM:\s+(\d+)", ran.stdout)[0]) / 1000


@pytest.mark.slow
def test_a_long_text_alone_takes_no_memory_for_its_scores(tmp_path: Path) -> None:
    """All scores of 4 heads take 268 MB; the converted graph holds them twice."""
    folder = write_bert(tmp_path / "bert", positions=4096)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 4096})
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    short = peak(exported / cpu.FILE, 32)
    assert peak(exported / cpu.FILE, 4096) < short + 134
    assert peak(exported / "model.onnx", 4096) > short + 2 * 268


def test_padding_on_the_left_is_kept(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = copied(exported, tmp_path)
    assert cpu.make(source(folder, "left")) is None
    assert "attention is computed as it was converted: padding is on the left" in caplog.text
    assert not (folder / cpu.FILE).exists()


def test_a_graph_that_would_answer_otherwise_is_not_kept(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its probes are another model's, as if fusing had lost a part of the mask."""
    caplog.set_level(logging.INFO)
    folder = copied(exported, tmp_path)
    honest = source(folder)
    vectors = honest.probes.vectors[::-1].copy()
    assert cpu.make(replace(honest, probes=replace(honest.probes, vectors=vectors))) is None
    assert "fused it is another model: worst cosine" in caplog.text
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in exported.iterdir() if path.name != cpu.FILE
    )
