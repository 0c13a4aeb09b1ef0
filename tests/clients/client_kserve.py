"""KServe's own client, and our files for KServe, checked by its models of resources.

Its package fits into no other environment: `make test-clients` has one for this file.
"""

import asyncio
import importlib
import re
from typing import Any

import kserve
import numpy as np
import pytest
import yaml
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.inference_client import httpx
from kserve.protocol.infer_type import RequestedOutput
from numpy.typing import NDArray

from tests.clients.service import MODEL, post_octets
from tests.clients.vectors import TEXTS
from tools.process import ROOT

MODULES = [importlib.import_module(name) for name in ("kserve.models", "kubernetes.client.models")]
FILES = {
    "runtime.yaml": kserve.models.V1alpha1ClusterServingRuntime,
    "inference-service.yaml": kserve.models.V1beta1InferenceService,
}
# Types of values without fields.
PLAIN = {"str": str, "int": int, "bool": bool, "object": object, "ResourceQuantity": str}


def tensor(name: str, texts: list[str], *, is_binary: bool) -> Any:
    found = InferInput(name, [len(texts)], "BYTES")
    found.set_data_from_numpy(np.array(texts, np.object_), binary_data=is_binary)
    return found


@pytest.fixture(scope="session")
def octets(url: str) -> NDArray[np.float32]:
    """Return the vectors of TEXTS, by plain HTTP, as bytes."""
    content = post_octets(f"{url}/embed", {"inputs": TEXTS})
    return np.frombuffer(content, "<f4").reshape(len(TEXTS), -1)


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("asks_binary", [False, True])
def test_vectors_are_those_of_embed_bit_for_bit(
    url: str, octets: NDArray[np.float32], is_binary: bool, asks_binary: bool
) -> None:
    outputs = [RequestedOutput("embedding", {"binary_data": asks_binary})]
    inputs = [tensor("text", TEXTS, is_binary=is_binary)]
    asked = InferRequest(MODEL, inputs, request_id="7", request_outputs=outputs)

    async def ask() -> Any:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, MODEL)
        assert not await client.is_model_ready(url, "another")
        return await client.infer(url, asked, model_name=MODEL)

    answer = asyncio.run(ask())
    assert (answer.id, answer.model_name) == ("7", MODEL)
    [output] = answer.outputs
    assert (output.name, output.datatype) == ("embedding", "FP32")
    assert np.array_equal(output.as_numpy(), octets)


def test_the_reason_reaches_the_user(url: str) -> None:
    async def ask() -> None:
        inputs = [tensor("words", TEXTS, is_binary=True)]
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        await client.infer(url, InferRequest(MODEL, inputs), model_name=MODEL)

    with pytest.raises(httpx.HTTPStatusError, match="there is no input `words`, but `text`"):
        asyncio.run(ask())


def check(value: Any, kind: str, path: str) -> None:
    """Fail unless a value is what KServe's or Kubernetes' models declare, at any depth."""
    if (listed := re.fullmatch(r"[Ll]ist\[(.+)\]", kind)) is not None:
        assert isinstance(value, list), path
        for place, one in enumerate(value):
            check(one, listed[1], f"{path}[{place}]")
    elif (mapped := re.fullmatch(r"[Dd]ict[(\[](\w+), (.+)[)\]]", kind)) is not None:
        assert isinstance(value, dict), path
        for name, one in value.items():
            check(name, mapped[1], f"{path}, the key {name!r}")
            check(one, mapped[2], f"{path}.{name}")
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{path}: {value!r} is no {kind}"
        assert kind == "bool" or not isinstance(value, bool), path
    else:
        check_fields(value, kind, path)


def check_fields(value: Any, kind: str, path: str) -> None:
    """Fail unless an object has every field that is required, and no other."""
    model = next(getattr(one, kind) for one in MODULES if hasattr(one, kind))
    assert isinstance(value, dict), f"{path} is no {kind}"
    names = {written: name for name, written in model.attribute_map.items()}
    assert value.keys() <= names.keys(), f"{path}: {kind} has no {value.keys() - names.keys()}"
    for written, one in value.items():
        check(one, model.openapi_types[names[written]], f"{path}.{written}")
    model(**{names[written]: one for written, one in value.items()})  # raises for a missing field


@pytest.mark.parametrize("name", FILES)
def test_our_files_are_what_kserve_s_models_declare(name: str) -> None:
    document = yaml.safe_load((ROOT / "deploy/kserve" / name).read_text())
    check(document, FILES[name].__name__, name)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("containerPort: 8000", 'containerPort: "8000"', "containerPort: '8000' is no int"),
        ("startupProbe", "startProbe", "V1Container has no {'startProbe'}"),
        ("failureThreshold: 300", "failureThreshold: many", "failureThreshold: 'many' is no int"),
        ("containers:", "container:", "V1alpha1ServingRuntimeSpec has no {'container'}"),
        ("autoSelect: true", "autoSelect: 1", "autoSelect: 1 is no bool"),
        ("[v2, openai]", "v2", "spec.protocolVersions"),
        ("name: kserve-container", "image: x", "name\n  Field required"),
    ],
)
def test_the_check_finds_faults(old: str, new: str, told: str) -> None:
    text = (ROOT / "deploy/kserve/runtime.yaml").read_text()
    assert old in text
    document = yaml.safe_load(text.replace(old, new, 1))
    with pytest.raises((AssertionError, ValueError), match=re.escape(told)):
        check(document, "V1alpha1ClusterServingRuntime", "runtime.yaml")
