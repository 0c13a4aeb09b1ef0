"""Take the screenshots of the playground: `python -m tools.playground [FOLDER]`.

Each is small enough for a page of documentation.
"""

import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from export.source.default_model import DEFAULT_MODEL_ID
from tools.browser import Page, chromium
from tools.playground.steps import choose_view, look_as, search, wait_idle
from tools.process import ROOT, Server, all_ended

COLOURS = 256
MOST_BYTES = 200_000
PORT = 8000  # the snippets in the pictures have it


@dataclass(frozen=True)
class Shot:
    """One screenshot: the size of the window, and what is done before it is taken."""

    name: str
    width: int = 1280
    height: int = 800
    theme: str = "light"
    language: str = "en"
    view: str = "map"
    query: str = ""
    whole: bool = False  # all of the page, however long


SHOTS = (
    Shot("light", query="I forgot my login"),
    Shot("dark", theme="dark", view="heat"),
    Shot("narrow", width=390, height=844, view="map", query="I forgot my login", whole=True),
    Shot("chinese", language="zh-CN", view="types"),
)


def main(folder: Path) -> None:
    """Write `playground-NAME.png` for each of SHOTS."""
    with all_ended(), Server("--model-id", DEFAULT_MODEL_ID, port=PORT) as server:
        server.wait_ready()
        server.wait_warm()
        for shot in SHOTS:
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
                chromium(Path(profile)) as page,
            ):
                content = small(take(page, f"http://localhost:{PORT}/playground/", shot))
            assert len(content) < MOST_BYTES, f"{shot.name}: {len(content)} bytes"
            path = folder / f"playground-{shot.name}.png"
            path.write_bytes(content)
            print(f"{path}: {len(content)} bytes")


def take(page: Page, url: str, shot: Shot) -> bytes:
    """Return the screenshot as the browser makes it."""
    look_as(page, shot.width, shot.height, theme=shot.theme, language=shot.language)
    page.call("Emulation.setScrollbarsHidden", hidden=shot.whole)  # a long picture has none
    page.open(url)
    wait_idle(page)
    if shot.query:
        search(page, shot.query)
    choose_view(page, shot.view)
    return page.image(whole=shot.whole)


def small(content: bytes) -> bytes:
    """Return a PNG with a palette."""
    written = BytesIO()
    image = Image.open(BytesIO(content)).convert("RGB")
    # Coverage rather than frequency: the few pixels of the accents keep their colours.
    palette = image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1)
    palette.save(written, "PNG", optimize=True)
    return written.getvalue()


main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
