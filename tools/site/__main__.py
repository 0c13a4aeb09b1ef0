"""python -m tools.site FOLDER: lay out the pages in a folder, for the generator of the site."""

import shutil
import sys
from pathlib import Path

from tools.site.pages import dead_links, files

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Copy every file of the site to a new folder; 1 and a line for each link that is dead."""
    place = Path(sys.argv[1])
    for link in (dead := dead_links(ROOT)):
        sys.stderr.write(f"{link} leads nowhere\n")
    shutil.rmtree(place, ignore_errors=True)
    for name in files(ROOT):
        (place / name.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place / name)
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
