"""The recipe: detecting folders made by an earlier version of the export."""

import pytest

from export.folder import recipe


@pytest.mark.parametrize(
    ("tools", "behind"),
    [
        ({"onnx": "1.23.2"}, True),  # from before there was a number
        ({"export": str(recipe.RECIPE - 1)}, True),
        ({"export": "new"}, True),
        ({"export": str(recipe.RECIPE)}, False),
        ({"export": str(recipe.RECIPE + 1)}, False),  # a later version's is as good
    ],
)
def test_a_folder_is_behind_if_an_earlier_export_made_it(
    tools: dict[str, str], behind: bool
) -> None:
    assert recipe.is_behind(tools) == behind
