"""The closed sets of words: each is declared once, and the choices of options derive from it."""

import ast
from typing import Any, get_args

import pytest

from app.model import names
from app.model.lookup import spellings
from app.options.settings import Settings
from tests.test_floors import APP, EXPORT, nodes


def literals(module: str) -> list[set[Any]]:
    """Return the words of each `Literal[…]` of a module."""
    found = []
    for node in nodes((APP | EXPORT)[module]):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
            words = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            found.append({one.value for one in words if isinstance(one, ast.Constant)})
    return found


@pytest.mark.parametrize("kind", [names.Task, names.Dtype, names.Provider, names.Pooling])
def test_a_closed_set_is_spelt_out_once(kind: Any) -> None:
    every = set(get_args(kind))
    spelt = [module for module in APP | EXPORT for one in literals(module) if one >= every]
    assert spelt == ["app.model.names"]


def test_choices_derive_from_the_closed_sets() -> None:
    assert get_args(names.ProviderChoice) == ("auto", *names.PROVIDERS)
    assert get_args(names.DtypeChoice) == ("auto", *get_args(names.Dtype))
    assert get_args(names.PoolingMode)[:3] == get_args(names.Pooling)
    assert dict(spellings.POOLINGS) == {
        "cls": "cls",
        "mean": "mean",
        "last-token": "last_token",
        "splade": "splade",
    }
    assert dict(names.POOLED_OUTPUTS) == {
        "cls": "pooled_cls",
        "mean": "pooled_mean",
        "last_token": "pooled_last_token",
    }


@pytest.mark.parametrize("provider", get_args(names.ProviderChoice))
def test_every_provider_can_be_asked_for(provider: str) -> None:
    assert Settings.read(["--model-id", "m", "--provider", provider], {}).provider == provider
