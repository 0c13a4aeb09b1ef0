"""The README of an exported folder repeats its manifest."""

from dataclasses import replace
from pathlib import Path

from app.model.manifest import Manifest
from app.model.parts import OutputCost
from export.folder import card
from tests.support.certificates import certificate
from tools import tiny

MEASURED = certificate(
    probes=520,
    worst_cosine=0.99999871,
    mean_cosine=0.99999993,
    largest_error=2.5e-7,
    first_percentile=0.9999991,
    neighbour_overlap=0.9987,
    batch_cosine=1.0,
    longest_input=256,
)


def read(folder: Path, manifest: Manifest) -> list[str]:
    card.write(folder, manifest)
    return (folder / "README.md").read_text().splitlines()


def test_an_embedder_is_described_by_its_cosines(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    lower = replace(MEASURED, compute_dtype="bfloat16", provider="openvino", worst_cosine=0.9996)
    lines = read(tmp_path, replace(manifest, certificates=(MEASURED, lower)))
    assert lines[0] == "# tests/tiny"
    assert "| pooling | mean, normalized |" in lines
    assert not any(line.startswith("| scores |") for line in lines)
    assert f"| maximum length | {tiny.MAX_LENGTH} tokens |" in lines
    assert f"| vector space | `{manifest.fingerprint}` |" in lines
    expected = (
        "| float32 | cpu | 0.9999987 | 0.9999991 | 0.9999999 | 0.9987 | 1.0000000 | 520 |"
        " 256 tokens | `model.onnx` |"
    )
    assert expected in lines
    assert lines[lines.index(expected) + 1].startswith("| bfloat16 | openvino | 0.9996000 |")
    assert lines.count("Measured on a processor.") == 1


def test_each_output_type_has_its_size_and_its_cost(tmp_path: Path) -> None:
    manifest = replace(tiny.build(tmp_path), dimensions=20, certificates=(MEASURED,))
    assert not any("fewer bytes" in line for line in read(tmp_path, manifest))
    known = (
        OutputCost("float16", 419, 0.9998, 1.0, "AAA="),
        OutputCost("int8", 419, 0.9919, 0.99996, "AA=="),
        OutputCost("binary", 419, 0.7084, 0.85939, "AA=="),
    )
    lines = read(tmp_path, replace(manifest, output_types=known))
    place = lines.index("| float16 | 40 | 0.9998 | 1.00000 | 419 |")
    assert lines[place + 1 : place + 4] == [
        "| int8, uint8 | 20 | 0.9919 | 0.99996 | 419 |",
        "| binary, ubinary | 3 | 0.7084 | 0.85939 | 419 |",
        "",
    ]
    assert lines[place - 4] == "What it costs to take its vectors in fewer bytes, beside float32:"


def test_a_reranker_is_described_by_its_errors(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, "reranker")
    one = replace(MEASURED, neighbour_overlap=None, largest_score_error=3e-8, longest_input=None)
    lines = read(tmp_path, replace(manifest, certificates=(one,)))
    assert "| float32 | cpu | 2.5e-07 | 3.0e-08 | 1.0000000 | 520 |  | `model.onnx` |" in lines
    assert "| scores | a sigmoid of each logit |" in lines
    assert not any("pooling" in line for line in lines)


def test_outputs_for_tokens_have_figures_of_their_own(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, whole=True)
    one = replace(MEASURED, token_cosine=0.9999996, lexical_cosine=0.9999998, lexical_error=2e-6)
    lines = read(tmp_path, replace(manifest, certificates=(one, MEASURED)))
    assert "| for each token | lexical_weights, multi_vector_embedding |" in lines
    [told] = [line for line in lines if line.startswith("* ")]
    assert told == (
        "* float32 on cpu: worst cosine of a token's vector 0.9999996, cosine of the lexical "
        "weights 0.9999998, largest error of one 2.0e-06"
    )
