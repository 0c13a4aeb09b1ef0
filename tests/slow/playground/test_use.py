"""The page in use: files, keys of the keyboard, looks, many texts."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.playground.acts import FOCUS, LIST, NOTICE, open_file, words
from tools.browser import Page, chromium
from tools.playground.steps import choose_view, look_as, press, search, wait_idle
from tools.process import ROOT, Server

pytestmark = pytest.mark.slow


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    """The page with its example; at the end the policy was not violated."""
    with chromium(tmp_path / "profile") as opened:
        look_as(opened, 1280, 900)
        opened.open(f"{server.url}/playground/")
        wait_idle(opened)
        yield opened
        assert opened.complaints == []


def test_the_modules_compute_what_they_should() -> None:
    node = shutil.which("node")
    assert node is not None, "install nodejs"
    files = sorted((ROOT / "tests/api/playground/modules").glob("*.test.mjs"))
    ended = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "# pass 34\n" in ended.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "hello\n\nthe cat\n"),
        ("a.csv", 'id,text\n1,hello\n2,"the cat"\n'),
        ("a.jsonl", '{"text": "hello"}\n"the cat"\n'),
    ],
)
def test_files_are_opened_and_dropped(page: Page, tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    open_file(page, path)
    page.wait_for(f"{LIST}.length === 2")
    assert words(page) == ["hello", "the cat"]
    path.write_text(content.replace("hello", "dropped"))
    x, y = page.evaluate(
        "(({ x, y }) => [x + 99, y + 99])(document.getElementById('view').getBoundingClientRect())"
    )
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    shown = "document.getElementById('texts').classList.contains('is-dropping')"
    for kind, is_above in (("dragEnter", True), ("dragOver", True), ("drop", False)):
        page.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
        assert page.evaluate(shown) is is_above
    page.wait_for(f"{LIST}[0].querySelector('.words').textContent === 'dropped'")


def test_a_file_that_cannot_be_read_is_named_and_changes_nothing(
    page: Page, tmp_path: Path
) -> None:
    before = words(page)
    path = tmp_path / "broken.jsonl"
    path.write_text('"fine"\n{oops\n')
    open_file(page, path)
    page.wait_for(f"!{NOTICE}.hidden")
    assert page.evaluate(f"{NOTICE}.firstElementChild.textContent") == "Line 2 is not JSON."
    assert words(page) == before
    assert page.evaluate("document.getElementById('retry').hidden")  # it would fail again
    page.evaluate("document.getElementById('dismiss').click()")
    assert page.evaluate(f"{NOTICE}.hidden")
    open_file(page, path)
    page.wait_for(f"!{NOTICE}.hidden")
    search(page, "hello")  # what went wrong is over once something went well
    assert page.evaluate(f"{NOTICE}.hidden")


def test_everything_is_reached_by_keys(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(30):
        press(page, "Tab")
        reached.append(page.evaluate(FOCUS))
    for one in (
        "query",
        "list",
        "edit",
        "open",
        "examples",
        "tab-map",
        "map",
        "as-curl",
        "copy",
        "snippet",
        "language",
        "theme",
    ):
        assert one in reached, one
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.evaluate("document.getElementById('query').focus()")
    press(page, "ArrowDown")
    press(page, "ArrowDown")
    selected = "document.querySelector('#list [aria-selected=true]')"
    assert (
        page.evaluate(f"{selected}.id")
        == page.evaluate("document.getElementById('list').getAttribute('aria-activedescendant')")
        == "text-1"
    )
    press(page, "End")
    assert page.evaluate(f"{selected}.id") == "text-19"
    page.evaluate("document.querySelector('canvas.map').focus()")
    ways = {page.evaluate(f"{selected}.id")}
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowRight"):
        press(page, key)
        ways.add(page.evaluate(f"{selected}.id"))
    assert len(ways) > 1
    page.evaluate("document.getElementById('tab-map').focus()")
    for name in ("heat", "tokens", "types", "map"):
        press(page, "ArrowRight")
        assert page.evaluate(FOCUS) == f"tab-{name}"
        assert page.evaluate(f"document.getElementById('panel-{name}').hidden") is False


def test_looks_follow_the_system_and_the_browser_until_chosen(page: Page, server: Server) -> None:
    theme = "document.documentElement.dataset.theme"
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    look_as(page, 1280, 900, theme="dark")
    page.wait_for(f"{theme} === 'dark'")
    assert page.evaluate(ground) != light
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(theme) == "light"
    look_as(page, 360, 800, theme="dark", language="zh-CN")
    page.open(f"{server.url}/playground/")
    wait_idle(page)
    assert page.evaluate(theme) == "light"  # as chosen
    assert page.evaluate("document.documentElement.lang") == "zh"
    assert page.evaluate("document.querySelector('h1').textContent") == "在线试用"
    for view in ("map", "heat", "tokens", "types"):
        choose_view(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        text = page.evaluate("document.body.innerText")
        assert "{" not in text.partition("curl")[0], text  # every value is put in
    page.evaluate("document.getElementById('language').click()")
    assert page.evaluate(
        "[document.documentElement.lang, document.getElementById('tab-heat').textContent]"
    ) == ["en", "Heat map"]


def test_two_thousand_texts_are_taken_in_batches(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text(
        "\n".join(
            f"the {['cat', 'dog', 'mat'][i % 3]} {['a', 'b', 'c', 'd', 'e'][i % 5]} {i}"
            for i in range(2500)
        )
    )
    page.requests.clear()
    open_file(page, path)
    page.wait_for("document.getElementById('timing').value.startsWith('2,000 texts')")
    assert (
        page.evaluate(f"{NOTICE}.firstElementChild.textContent")
        == "Only the first 2,000 of 2,500 texts are used."
    )
    asked = [url for url in page.requests if url.endswith("/embed")]
    assert len(asked) == 63  # of 32 texts each
    assert len(words(page)) == 100
    page.evaluate("document.getElementById('more').click()")
    assert len(words(page)) == 200
    search(page, "the cat")
    choose_view(page, "heat")
    assert "first 300 texts" in page.evaluate("document.getElementById('panel-heat').textContent")
    choose_view(page, "types")
    assert "first 300 texts" in page.evaluate("document.getElementById('panel-types').textContent")


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_the_code_is_copied(page: Page, has_clipboard: bool) -> None:
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    read = "navigator.clipboard.readText()"
    if not has_clipboard:  # as of a page without TLS on another machine
        page.evaluate("window.real = navigator.clipboard; 0")
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined }); 0")
        read = "real.readText()"
    x, y = page.evaluate(
        "(({ x, y }) => [x + 9, y + 9])(document.getElementById('copy').getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    page.wait_for("document.getElementById('copy').textContent === 'Copied'")
    assert page.evaluate(read) == page.evaluate("document.getElementById('snippet').textContent")
