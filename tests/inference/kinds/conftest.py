"""Fixtures: models of every kind, as the API's tests have them."""

from tests.api.conftest import folders, make_kind

__all__ = ["folders", "make_kind"]
