"""The graphs of a manifest, as an export names them."""

from app.model.names import PROVIDERS
from app.model.parts import Graph
from export.folder import describe

NAMES = (("input_ids", "attention_mask"), ("sentence_embedding",))


def test_the_exact_graph_is_for_every_provider() -> None:
    assert describe.exact(NAMES) == Graph("model.onnx", "float32", PROVIDERS, *NAMES)


def test_a_graph_that_came_quantized_is_the_cpu_s_and_bounds_its_runs() -> None:
    assert describe.quantized(NAMES, 16) == Graph("model.onnx", "int8", ("cpu",), *NAMES, rows=16)
