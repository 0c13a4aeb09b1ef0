"""The measurements of a proof, as shown to the person who exports."""

from dataclasses import replace

from export.folder import prove
from tests.support.certificates import certificate

MEASURED = certificate(
    reference="transformers",
    probes=500,
    worst_cosine=0.999999,
    largest_error=1e-7,
    neighbour_overlap=0.9876,
    batch_cosine=0.9999999,
)


def test_each_certificate_is_a_line() -> None:
    exact, lossy = prove.quality("embedding", [MEASURED, replace(MEASURED, compute_dtype="int8")])
    assert exact.startswith("cpu in float32: ")
    assert exact.endswith(", overlap of nearest neighbours 0.9876, over 500 texts")
    assert lossy.startswith("cpu in int8: worst cosine 1.00000, ")
    assert lossy.endswith("alone and in a batch 0.9999999, over 500 texts")


def test_two_graphs_of_one_provider_are_told_apart() -> None:
    first, second = prove.quality("embedding", [MEASURED, replace(MEASURED, graph="other.onnx")])
    assert first.endswith(", over 500 texts, by model.onnx")
    assert second.endswith(", over 500 texts, by other.onnx")
