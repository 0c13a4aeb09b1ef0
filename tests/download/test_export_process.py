"""Steps of the export in their own processes: their lines in the service's log."""

import json
import logging
import os
from pathlib import Path

import pytest

from app.download import export_process
from app.errors import StartupError
from tests.support.snapshot import write_folder


def test_warnings_of_the_child_are_warnings_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "small")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    config["id2label"] = {"0": "label"}
    (folder / "config.json").write_text(json.dumps(config))
    caplog.set_level(logging.INFO, "app.download.export_process")
    arguments = ["--from-onnx", str(folder), "--models-dir", str(tmp_path), "--pooling", "mean"]
    with pytest.raises(StartupError, match="logits"):  # the graph has an encoder only
        export_process.run("preparing the model", arguments, os.environ)
    told = {record.getMessage(): record.levelname for record in caplog.records}
    [warning] = [message for message in told if "pooling" in message]
    assert not warning.startswith("warning")
    assert told[warning] == "WARNING"
    assert told[f"[1/5] reading {folder}"] == "INFO"


def test_its_standard_error_is_a_warning_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/manifest.json").write_text("{")
    caplog.set_level(logging.INFO, "app.download.export_process")
    export_process.run("listing", ["--list", "--models-dir", str(tmp_path)], os.environ)
    [warning] = [record for record in caplog.records if "cannot be read" in record.getMessage()]
    assert (warning.levelname, warning.getMessage()[:7]) == ("WARNING", f"{tmp_path}"[:7])
