"""Each view of a model with dense vectors, against what the API says."""

import json

import numpy as np
import pytest

from tests.slow.playground.acts import PANEL, TEXTS, choose_text, cosines, listed, paste
from tools import tiny
from tools.browser import Page
from tools.playground.steps import choose_view, press, search
from tools.process import Server

pytestmark = pytest.mark.slow


def test_the_map_and_the_heat_map_show_cosines(page: Page, kinds: Server) -> None:
    vectors = cosines(kinds, TEXTS)
    exact = vectors @ vectors.T
    choose_text(page, TEXTS[0])
    nearest = page.evaluate(
        f"[...{PANEL}.querySelectorAll('.nearest li span:first-child')].map(one => one.textContent)"
    )
    assert nearest == [TEXTS[i] for i in np.argsort(-exact[0]) if i != 0]
    assert listed(page)[1] == (TEXTS[1], f"{exact[0, 1]:.2f}")
    choose_view(page, "heat")
    page.evaluate(f"{PANEL}.querySelector('canvas.heat').focus()")
    seen = set()
    for key in ("ArrowUp",) * 6 + ("ArrowLeft",) * 6 + ("ArrowRight", "ArrowDown") * 6:
        press(page, key)
        value, one, other = page.evaluate(
            f"[...{PANEL}.querySelectorAll('.readout *')].map(one => one.textContent)"
        )
        assert float(value) == pytest.approx(exact[TEXTS.index(one), TEXTS.index(other)], abs=6e-4)
        seen.add((one, other))
    assert len(seen) > 10


def test_the_text_under_the_pointer_is_shown(page: Page) -> None:
    box = page.evaluate(
        f"(({{ x, y, width, height }}) => [x, y, width, height])({PANEL}.querySelector('canvas').getBoundingClientRect())"
    )
    x, y, width, height = box
    of = f"{PANEL}.querySelector('.neighbours .of').textContent"
    page.evaluate(
        f"window.seen = new Set(); new MutationObserver(() => seen.add({of}))"
        f".observe({PANEL}.querySelector('.neighbours'), {{ childList: true }}); 0"
    )
    for across in np.arange(x, x + width, 25):
        for down in np.arange(y, y + height, 25):
            page.call("Input.dispatchMouseEvent", type="mouseMoved", x=across, y=down)
    assert set(page.evaluate("[...seen]")) == set(TEXTS)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    page.wait_for(
        f"{PANEL}.querySelector('.neighbours .of').textContent === {json.dumps(TEXTS[0])}"
    )


def test_the_list_sorts_itself_and_an_old_answer_never_covers_a_newer(
    page: Page, kinds: Server
) -> None:
    page.evaluate(
        """(() => { const real = window.fetch; let count = 0
        window.fetch = async (path, options) => {
          const answer = await real(path, options)
          if (options.body?.includes('slow')) await new Promise(done => setTimeout(done, 1500))
          return answer } })()"""
    )
    page.evaluate("document.getElementById('query').select()")
    page.call("Input.insertText", text="slow")
    page.evaluate("new Promise(done => setTimeout(done, 400))")  # it is asked, and not answered
    search(page, "the dog")
    first = listed(page)
    page.evaluate("new Promise(done => setTimeout(done, 1600))")
    assert listed(page) == first
    query = np.array(
        kinds.post("/tei/dense/embed", {"inputs": ["the dog"], "prompt_name": "query"}).json[0]
    )
    scores = cosines(kinds, TEXTS) @ query
    assert first == [(TEXTS[i], f"{scores[i]:.2f}") for i in np.argsort(-scores)]
    assert "ms" in page.evaluate("document.getElementById('timing').value")


def test_a_reranker_sorts_what_was_found(page: Page, kinds: Server) -> None:
    search(page, "the dog")
    found = [text for text, _ in listed(page)]
    page.evaluate("document.getElementById('rerank').click()")
    page.wait_for("document.getElementById('timing').value.includes('rerank')")
    top = found[:4]  # --max-client-batch-size
    ranks = kinds.post("/tei/rerank/rerank", {"query": "the dog", "texts": top}).json
    assert [text for text, _ in listed(page)] == [top[one["index"]] for one in ranks] + found[4:]
    assert [score.partition(" → ")[2] for _, score in listed(page)[:4]] == [
        f"{one['score']:.3f}" for one in ranks
    ]


def test_tokens_have_ids_and_places_and_are_cut_where_the_model_ends(
    page: Page, kinds: Server
) -> None:
    text = "the cat sat on the mat, hello world, a b c d e"
    paste(page, [text, "a", "b"])
    page.evaluate(
        "(menu => { menu.value = 'query'; menu.dispatchEvent(new Event('change')) })(document.getElementById('text-prompt'))"
    )
    choose_view(page, "tokens")
    page.wait_for(f"{PANEL}.textContent.includes('query: ')")
    [tokens] = kinds.post("/tei/dense/tokenize", {"inputs": text, "prompt_name": "query"}).json
    cards = page.evaluate(
        f"[...{PANEL}.querySelectorAll('.token')].map(one => [one.className, ...[...one.children].map(part => part.textContent)])"
    )
    assert [(card[1], int(card[2])) for card in cards] == [
        (one["text"], one["id"]) for one in tokens
    ]
    assert [card[3].split()[-1] for card in cards[1:-1]] == [
        f"{one['start']}–{one['stop']}" for one in tokens[1:-1]
    ]
    marked = [card[0].split()[1].removeprefix("is-") for card in cards]
    cut = len(tokens) - tiny.MAX_LENGTH
    assert marked == [
        "special",
        "prompt",
        "prompt",
        *["text"] * (tiny.MAX_LENGTH - 4),
        *["cut"] * cut,
        "special",
    ]
    assert f"{cut} of {len(tokens)} tokens are cut off" in page.evaluate(f"{PANEL}.textContent")


def test_number_types_are_measured_over_these_texts(page: Page, kinds: Server) -> None:
    choose_view(page, "types")
    exact = cosines(kinds, TEXTS) @ cosines(kinds, TEXTS).T
    rows = page.evaluate(
        f"[...{PANEL}.querySelectorAll('tbody tr')].map(one => [...one.children].map(cell => cell.textContent))"
    )
    assert [row[:2] for row in rows] == [
        ["float32", "64"],
        ["float16", "32"],
        ["int8", "16"],
        ["binary", "2"],
    ]
    np.fill_diagonal(exact, -9)
    for row, dtype in zip(rows[2:], ("int8", "ubinary"), strict=True):
        vectors = cosines(kinds, TEXTS, output_dtype=dtype).astype(float)
        if dtype == "int8":
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            scores = vectors @ vectors.T
            change = np.abs(scores - exact)[~np.eye(len(TEXTS), dtype=bool)].max()
            assert float(row[4]) == pytest.approx(change, rel=0.1)
        else:
            bits = np.unpackbits(vectors.astype(np.uint8), axis=1)
            scores = -(bits[:, None] != bits).sum(axis=2).astype(float)
        np.fill_diagonal(scores, -99)
        kept = (
            np.argsort(-scores, kind="stable")[:, 0] == np.argsort(-exact, kind="stable")[:, 0]
        ).mean()
        assert row[3] == f"{100 * kept:.1f}%"
    assert page.evaluate(f"{PANEL}.querySelectorAll('.columns h3').length") == 4
