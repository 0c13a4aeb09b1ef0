"""Plans: their consequences, and the message where one does not work."""

from pathlib import Path

from app.inference.providers.choose import candidates
from app.inference.providers.plan import Plan, ProviderRequest
from app.model.manifest import Manifest
from tests.support.machines import FAST, GPU


def test_only_a_precision_chosen_by_default_must_qualify() -> None:
    plans = candidates(ProviderRequest("openvino"), FAST, "embedding")
    assert [plan.must_qualify for plan in plans] == [True, False]
    plans = candidates(ProviderRequest("cuda"), GPU, "embedding")
    assert [plan.must_qualify for plan in plans] == [True, True, False]
    plans = candidates(ProviderRequest("cuda", "float16"), GPU, "embedding")
    assert [plan.must_qualify for plan in plans] == [False, False]
    assert not candidates(ProviderRequest(dtype="bfloat16"), FAST, "embedding")[0].must_qualify


def test_a_precision_that_the_provider_lowers_is_computed_of_the_float32_graph(
    tiny_model: Path,
) -> None:
    manifest = Manifest.read(tiny_model)
    [graph] = manifest.graphs
    assert Plan("tensorrt", "", "float16", lowers=True).graph_in(manifest) == graph
    assert Plan("tensorrt", "", "float16").graph_in(manifest) is None
    assert Plan("cuda", "", "float32", packed=True).graph_in(manifest) is None


def test_each_device_has_a_plan_of_its_own() -> None:
    plan = Plan("cuda", "", devices=(2, 0), ort_options={"device_id": "2", "use_tf32": "0"})
    each = plan.per_device()
    assert [one.ort_options["device_id"] for one in each] == ["2", "0"]
    assert all(one.ort_options["use_tf32"] == "0" for one in each)
    assert Plan("cpu", "").per_device() == (Plan("cpu", ""),)
