"""Fields of an inference request: valid values, and the errors for others."""

from typing import Any

import pytest

from app.api.body import reader, streaming
from app.api.shapes.fields import Misfit
from app.api.verbs.open_inference.fields import INFER, NO_PARAMETERS, elements
from app.errors import MistypedBody


@pytest.mark.parametrize(
    ("value", "found"),
    [([], []), (["a", ""], ["a", ""]), ([["a"], ["b"]], ["a", "b"]), (["a", ["b"]], ["a", "b"])],
)
def test_texts_are_flat_or_in_rows(value: Any, found: list[str]) -> None:
    assert elements(value) == found


@pytest.mark.parametrize(
    "value", ["a", 1, {}, [1], [["a", "b"]], [[]], [[["a"]]], [None], [["a"], 1]]
)
def test_anything_else_is_no_tensor_of_texts(value: Any) -> None:
    with pytest.raises(Misfit, match="expected an array of strings"):
        elements(value)


BODY = (
    b'{"id":"7","parameters":{"truncate":false,"sequence_id":3,"priority":1},"inputs":[{"name":"text",'
    b'"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}],"outputs":[{"name":"x",'
    b'"parameters":{"binary_data":true}}]}'
)


def test_names_that_stand_in_several_objects_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`name` and `parameters` are fields of several objects: no need for the exact reading."""
    monkeypatch.setattr(streaming, "read", lambda *_: pytest.fail("it was read slowly"))
    found = reader.read(BODY, INFER)
    assert found["id"] == "7"
    assert found["parameters"] == {**NO_PARAMETERS, "truncate": False}
    assert found["inputs"][0]["parameters"]["binary_data_size"] == 5
    assert found["outputs"][0]["parameters"]["binary_data"] is True


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"name":"text"', b'"name":"text","name":"text"', "inputs[0]: duplicate field `name`"),
        (b'"id":"7"', b'"id":"7","id":"8"', "duplicate field `id`"),
        (b'"id":"7"', b'"id":7', "id: invalid type: integer `7`, expected a string"),
        (b'"name":"x",', b"", "outputs[0]: missing field `name`"),
        (b'"shape":[1]', b'"shape":[-1]', "inputs[0].shape[0]: invalid value: integer `-1`"),
        (
            b'"shape":[1]',
            b'"shape":[1.5]',
            "inputs[0].shape[0]: invalid type: floating point `1.5`",
        ),
        (b'"shape":[1]', b'"shape":1', "inputs[0].shape: invalid type: integer `1`"),
        (
            b'"binary_data_size":5',
            b'"binary_data_size":-5',
            "inputs[0].parameters.binary_data_size",
        ),
        (b'"truncate":false', b'"truncate":"no"', "parameters.truncate: invalid type: string"),
        (b'"parameters":{"b', b'"data":[3],"parameters":{"b', "inputs[0].data: expected an array"),
    ],
)
def test_a_fault_is_reported_with_its_path(old: bytes, new: bytes, message: str) -> None:
    assert BODY.count(old) >= 1
    with pytest.raises(MistypedBody) as refused:
        reader.read(BODY.replace(old, new, 1), INFER)
    assert message in str(refused.value)


def test_null_is_absent() -> None:
    body = b'{"id":null,"parameters":null,"inputs":[],"outputs":null}'
    assert reader.read(body, INFER) == {
        "id": None,
        "parameters": None,
        "inputs": [],
        "outputs": None,
    }
