import pytest

from app.errors import StartupError
from app.inference.providers import ORT_NAMES, candidates, unusable

CPU, CUDA = ORT_NAMES["cpu"], ORT_NAMES["cuda"]


@pytest.mark.parametrize(
    ("choice", "available", "tried"),
    [
        ("auto", [CPU], ["cpu"]),
        ("auto", [CUDA, CPU], ["cuda", "cpu"]),
        ("cpu", [CUDA, CPU], ["cpu"]),
        ("cuda", [CUDA, CPU], ["cuda"]),
    ],
)
def test_what_is_tried_in_which_order(choice: str, available: list[str], tried: list[str]) -> None:
    plans = candidates(choice, available)  # type: ignore[arg-type]  # pytest gives plain strings
    assert [plan.provider for plan in plans] == tried


def test_cuda_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(StartupError, match=r"no CUDA provider; install the `gpu` extra"):
        candidates("cuda", [CPU])


def test_a_provider_that_does_not_work_is_named_with_the_remedy() -> None:
    [plan] = candidates("cuda", [CUDA, CPU])
    text = str(unusable(plan, f"got {CPU} instead"))
    assert text.startswith("--provider cuda: ONNX Runtime could not use it (got CPUExecution")
    assert text.endswith("or use --provider cpu")


def test_cuda_computes_in_full_float32() -> None:
    [plan] = candidates("cuda", [CUDA])
    assert plan.ort_options["use_tf32"] == "0"
    assert plan.compute_dtype == "float32"
