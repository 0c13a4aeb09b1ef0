"""Objects as the official client reads them."""

import re
from dataclasses import replace

from openai.types import Batch as OpenAIBatch
from openai.types import FileObject

from app.batches.objects import Batch, Fault, StoredFile, in_json, new_batch_id, new_file_id
from tests.support.batches import ENDPOINT

FILE = StoredFile("file-1", "", "in.jsonl", "batch", 5, 10, 20)
BATCH = Batch("batch_1", "", ENDPOINT, "file-1", '{"a": "b"}', None, 10, 20, output_id="o")


def test_a_file_has_every_field_of_openai() -> None:
    read = FileObject.model_validate(FILE.shown(), strict=True)
    assert set(FILE.shown()) == set(FileObject.model_fields)
    assert (read.id, read.bytes, read.expires_at) == ("file-1", 5, 20)


def test_a_batch_has_every_field_of_openai() -> None:
    faults = in_json([Fault("invalid_json_line", "No.", 3)])
    shown = replace(BATCH, status="failed", errors=faults, failed_at=30).shown()
    read = OpenAIBatch.model_validate(shown, strict=True)
    assert set(shown) == set(OpenAIBatch.model_fields)
    assert read.metadata == {"a": "b"}
    assert read.errors is not None
    assert read.errors.data is not None
    assert (read.errors.data[0].line, read.errors.data[0].param) == (3, None)
    assert read.usage is not None


def test_results_are_files_once_the_batch_has_ended() -> None:
    written = replace(BATCH, output_bytes=5)
    assert written.shown()["output_file_id"] is None
    assert replace(written, status="cancelled").shown()["output_file_id"] == "o"
    assert replace(BATCH, status="cancelled").shown()["output_file_id"] is None


def test_ids_have_the_form_of_openai() -> None:
    assert re.fullmatch(r"file-[A-Za-z0-9]{24}", new_file_id())
    assert re.fullmatch(r"batch_[0-9a-f]{32}", new_batch_id())
    assert new_file_id() != new_file_id()
