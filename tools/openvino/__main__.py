"""Make a folder for PYTHONPATH in which the OpenVINO plug-in takes processors of any vendor."""

import shutil
import sys
from pathlib import Path

from tools.openvino import plugin


def main(folder: Path) -> int:
    """Make the folder again, empty where the plug-in itself offers its device; return the exit code."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        plugin.environment(folder)
    except plugin.Unavailable as reason:
        sys.stderr.write(f"error: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
