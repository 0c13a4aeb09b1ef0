"""Names of several models: their pairing with ids, and the model that each name means."""

from dataclasses import dataclass

import pytest

from app.model.lookup.served_names import by_name, first_twice, paired, path_of


@dataclass
class Model:
    """A model with names."""

    name: str
    other_names: tuple[str, ...] = ()


def test_ids_are_paired_with_names_in_their_order() -> None:
    assert paired(["a"], []) == [("a", None)]
    assert paired(["a", "b"], []) == [("a", None), ("b", None)]
    assert paired(["a", "b"], ["x", "y"]) == [("a", "x"), ("b", "y")]
    assert paired(["a"], [""]) == [("a", "")]  # counts as unset, as before


@pytest.mark.parametrize(
    ("ids", "names", "fault"),
    [
        (["a", "b"], ["x"], "is given 1 times and --model-id (MODEL_ID) 2 times"),
        (["a"], ["x", "y"], "is given 2 times and --model-id (MODEL_ID) 1 times"),
        (["a", ""], [], "--model-id (MODEL_ID): one of 'a', '' is empty"),
        (["a", "b"], ["x", ""], "--served-model-name (SERVED_MODEL_NAME): one of 'x', '' is empty"),
        (["a", "b", "a"], [], "--model-id (MODEL_ID): a is given twice"),
        (["a", "b"], ["x", "x"], "--served-model-name (SERVED_MODEL_NAME): x is given twice"),
    ],
)
def test_invalid_names_are_refused(ids: list[str], names: list[str], fault: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # its words are compared
        paired(ids, names)
    assert fault in str(caught.value)


def test_the_first_duplicate_name_is_found() -> None:
    assert first_twice(["a", "b"]) is None
    assert first_twice(["a", "b", "c", "b", "a"]) == "b"


def test_every_name_means_one_model() -> None:
    models = [
        Model("first", ("org/one", "shared")),
        Model("second", ("org/two", "shared", "first")),
        Model("org/one", ("models/three",)),
    ]
    assert by_name(models) == {
        "first": 0,  # its own name goes before another model's alias
        "second": 1,
        "org/one": 2,
        "org/two": 1,
        "models/three": 2,
    }  # and `shared` is ambiguous


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("org/name", "org/name"),
        ("/models/my model/", "models/my%20model"),
        ("bge-m3:latest", "bge-m3:latest"),
        ("50%?#{x}", "50%25%3F%23%7Bx%7D"),
        ("模型", "%E6%A8%A1%E5%9E%8B"),
    ],
)
def test_a_name_in_a_path(name: str, path: str) -> None:
    assert path_of(name) == path
