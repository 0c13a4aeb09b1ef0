"""Fixtures: models of every kind, as the API's tests have them."""

from tests.api.conftest import make_kind

__all__ = ["make_kind"]
