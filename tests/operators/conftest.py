"""The compiled operators, once for all tests of a process."""

import pytest

from tests.support import operators
from tests.support.operators import Operators


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Operators:
    """A runner of the operators; the summary says what this kind of machine cannot show."""
    if (found := operators.obstacle()) is not None:
        pytest.skip(found)
    return Operators(operators.built(tmp_path_factory.mktemp("operators")))
