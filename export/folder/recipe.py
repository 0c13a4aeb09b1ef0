"""Recipe: a number for what this version of the export makes of a model."""

from collections.abc import Mapping

# To be raised whenever an export of the same model comes to hold other graphs or probes, so that
# folders made before are known. It says nothing of the vectors: these are the fingerprint's.
RECIPE = 1
NAME = "export"  # beside the versions of other tools in a manifest


def is_behind(tools: Mapping[str, str]) -> bool:
    """Check whether the tools that made a folder include an earlier version of the export."""
    found = tools.get(NAME, "0")
    return not found.isdecimal() or int(found) < RECIPE
