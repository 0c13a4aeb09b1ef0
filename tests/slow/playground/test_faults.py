"""The page when the service refuses: a key, too much, too long, too busy, or gone."""

import json
from pathlib import Path

import pytest

from tests.slow.playground.acts import FOCUS, LIST, NOTICE, PANEL
from tools.browser import Page, chromium
from tools.playground.steps import choose_view, press, wait_idle
from tools.process import Server

pytestmark = pytest.mark.slow


def test_the_key_is_asked_for_and_stays_in_the_tab(tiny_model: Path, tmp_path: Path) -> None:
    asking = "document.getElementById('key-dialog').open"
    with (
        Server("--model-id", str(tiny_model), "--api-key", "s3cret") as server,
        chromium(tmp_path) as page,
    ):
        server.wait_ready()
        page.open(f"{server.url}/playground/")
        page.wait_for(asking)
        assert page.evaluate(FOCUS) == "key-value"
        page.call("Input.insertText", text="wrong")
        press(page, "Enter")
        page.wait_for("!document.getElementById('key-fault').hidden")
        page.call("Input.insertText", text="s3cret")
        press(page, "Enter")
        wait_idle(page)
        assert page.evaluate(asking) is False
        assert page.evaluate("[JSON.stringify(localStorage), document.cookie]") == ["{}", ""]
        page.evaluate("document.getElementById('as-python').click()")
        code = page.evaluate("document.getElementById('snippet').textContent")
        assert "API_KEY" in code
        assert "s3cret" not in page.evaluate("document.documentElement.outerHTML")
        assert all("401" in complaint for complaint in page.complaints), page.complaints


def notice_after(page: Page, action: str) -> str:
    page.evaluate(action)
    page.wait_for(f"!{NOTICE}.hidden")
    return str(page.evaluate(f"{NOTICE}.firstElementChild.textContent"))


PASTE = """(texts => { document.getElementById('edit').click()
document.getElementById('paste').value = texts; document.getElementById('edit').click() })"""


def test_refusals_are_one_line_and_the_page_lives_on(tiny_model: Path, tmp_path: Path) -> None:
    flags = ["--payload-limit", "2000", "--auto-truncate", "false", "--pooling", "cls"]
    with Server("--model-id", str(tiny_model), *flags) as server, chromium(tmp_path) as page:
        server.wait_ready()
        page.open(f"{server.url}/playground/")
        page.wait_for(f"!{NOTICE}.hidden")  # the example is too long for this model
        long = json.dumps("a " * 1500)
        assert "too large for one request (413)" in notice_after(page, f"{PASTE}({long})")
        assert "422" in notice_after(page, f"{PASTE}('{'a ' * 20}')")
        choose_view(page, "tokens")
        assert "refuses such a text" in page.evaluate(
            "document.getElementById('panel-tokens').textContent"
        )
        page.evaluate(f"{PASTE}('a\\nb c\\nthe cat\\nhello world')")
        page.wait_for(f"{NOTICE}.hidden")
        choose_view(page, "types")  # int8 has no ranges with another pooling
        table = page.evaluate(
            "document.getElementById('panel-types').querySelector('table').textContent"
        )
        assert "float16" in table
        assert "--pooling" in table
        server.stop()
        assert (
            notice_after(page, f"{PASTE}('x\\ny\\nz')")
            == "The service does not answer. Is it still running?"
        )
        choose_view(page, "map", until=f"!{PANEL}.textContent.includes('Embedding')")
        page.evaluate("document.getElementById('dismiss').click()")  # and the same texts once more
        again = "document.getElementById('edit').click();" * 2
        assert notice_after(page, again).startswith("The service does not answer.")


def test_a_busy_service_is_asked_again(tiny_model: Path, tmp_path: Path) -> None:
    """The first answer is replaced, as a server is busy for moments only."""
    with Server("--model-id", str(tiny_model)) as server, chromium(tmp_path) as page:
        server.wait_ready()
        page.open(f"{server.url}/playground/")
        wait_idle(page)
        page.evaluate(
            """window.asked = []; window.real = window.fetch; window.fetch = async (path, options) => {
            asked.push(performance.now())
            const headers = { 'Retry-After': '1' }
            return asked.length > 1 ? real(path, options) : new Response('', { status: 429, headers }) }; 0"""
        )
        page.evaluate(f"{PASTE}('the cat\\nhello\\nworld')")
        page.wait_for(f"asked.length === 2 && {NOTICE}.hidden")
        wait_idle(page)
        assert 1000 <= page.evaluate("asked[1] - asked[0]") < 10_000


RETRY = "document.getElementById('retry')"


def test_what_no_answer_came_to_is_asked_again_from_the_keyboard(
    tiny_model: Path, tmp_path: Path
) -> None:
    flags = ["--model-id", str(tiny_model), "--auto-truncate", "true"]
    with Server(*flags) as server, chromium(tmp_path) as page:
        server.wait_ready()
        page.open(f"{server.url}/playground/")
        wait_idle(page)
        server.stop()
        page.evaluate("document.getElementById('query').focus()")
        page.call("Input.insertText", text="hello")
        page.wait_for(f"!{NOTICE}.hidden")
        page.evaluate("document.activeElement.blur()")
        press_until_reached(page, "retry")
        page.evaluate(
            f"window.said = []; new MutationObserver(() => said.push({NOTICE}.textContent))"
            f".observe({NOTICE}, {{ subtree: true, childList: true, attributes: true }}); 0"
        )
        press(page, "Enter")  # while it is still gone
        page.wait_for("said.length && said.at(-1).includes('does not answer')")
        assert any("Trying again…" in one for one in page.evaluate("said"))
        assert page.evaluate(FOCUS) == "retry"
        with Server(*flags, port=server.port) as other:
            other.wait_ready()
            press(page, "Enter")
            page.wait_for(f"{NOTICE}.hidden && document.querySelector('#list.is-found')")
            assert page.evaluate(FOCUS) == "list"
        assert notice_after(page, f"{PASTE}('x\\ny\\nz')").startswith("The service does not")
        with Server(*flags, port=server.port) as other:
            other.wait_ready()
            page.evaluate(f"{RETRY}.click()")
            page.wait_for(f"{NOTICE}.hidden && {LIST}[1].querySelector('.score').textContent")


def press_until_reached(page: Page, name: str) -> None:
    for _ in range(40):
        press(page, "Tab")
        if page.evaluate(FOCUS) == name:
            return
    pytest.fail(f"{name} is not reached by Tab")


@pytest.mark.parametrize("status", [429, 503])
def test_a_view_that_was_refused_for_now_is_drawn_on_request(
    tiny_model: Path, tmp_path: Path, status: int
) -> None:
    with Server("--model-id", str(tiny_model)) as server, chromium(tmp_path) as page:
        server.wait_ready()
        page.open(f"{server.url}/playground/")
        wait_idle(page)
        page.evaluate(
            f"""window.real = window.fetch; window.fetch = async (path, options) =>
            path.includes('tokenize') ? new Response('no room', {{ status: {status} }}) : real(path, options); 0"""
        )
        page.evaluate("document.getElementById('tab-tokens').click()")
        page.wait_for(f"!{NOTICE}.hidden")
        assert str(status) in page.evaluate(f"{NOTICE}.textContent")
        page.evaluate("document.getElementById('language').click()")
        assert page.evaluate(f"{RETRY}.textContent") == "重试"
        page.evaluate("window.fetch = real; 0")
        page.evaluate(f"{RETRY}.click()")
        page.wait_for(f"{NOTICE}.hidden && {PANEL}.querySelector('.token')")
        page.evaluate("window.fetch = async () => { throw new TypeError('lost') }; 0")
        page.evaluate(f"{LIST}[2].click()")
        page.wait_for(f"!{NOTICE}.hidden")
        choose_view(page, "map")  # asks for nothing, and the fault was the other view's
        assert page.evaluate(f"{NOTICE}.hidden")
