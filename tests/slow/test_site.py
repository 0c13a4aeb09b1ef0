"""`make docs` builds the whole site, which loads nothing from other hosts."""

import re
import subprocess

import pytest

from tools.process import ROOT
from tools.site.pages import pages

pytestmark = pytest.mark.slow

LOADED = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(https?:[^\s\">]+)")


def test_the_site_is_built_from_every_page() -> None:
    done = subprocess.run(
        ["make", "docs"],  # noqa: S607 - found as a developer finds it
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in pages(ROOT):
        name = page.with_suffix(".html")
        place = ROOT / "site" / (name.with_name("index.html") if page.stem == "README" else name)
        text = place.read_text()
        assert "<h1" in text
        assert [one for one in LOADED.findall(text) if "canonical" not in one] == [], page
