"""Swagger UI in a real browser: it loads without errors, and its requests are answered."""

from pathlib import Path

import pytest

from tools.browser import chromium
from tools.process import Server

EMBED = "document.querySelector('#operations-Embeddings-embed')"


@pytest.mark.slow
def test_swagger_ui_shows_the_routes_and_tries_one(tiny_model: Path, tmp_path: Path) -> None:
    server = Server("--model-id", str(tiny_model))
    try:
        server.wait_ready()
        with chromium(tmp_path) as page:
            page.open(f"{server.url}/docs")
            page.wait_for(EMBED)
            routes = page.evaluate("document.querySelectorAll('.opblock').length")
            page.evaluate(f"{EMBED}.querySelector('.opblock-summary-control').click()")
            # A click before the example is filled in would be ignored.
            page.wait_for(f"{EMBED}.querySelector('textarea')?.value.includes('deep learning')")
            page.evaluate(f"{EMBED}.querySelector('button.execute').click()")
            page.wait_for(f"{EMBED}.querySelector('.live-responses-table .response-col_status')")
            answer = page.evaluate(f"{EMBED}.querySelector('.live-responses-table').innerText")
    finally:
        server.stop()
    assert routes == 26
    assert "200" in answer
    assert "x-compute-tokens" in answer
    assert page.complaints == []
    assert {url.split("/")[2] for url in page.requests if not url.startswith("data:")} == {
        f"127.0.0.1:{server.port}"
    }
