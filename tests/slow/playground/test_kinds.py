"""The views of other kinds of models, and the code that each view offers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.slow.playground.acts import LIST, PANEL, TEXTS, choose_model, listed
from tools import tiny
from tools.browser import Page
from tools.playground.steps import choose_view, search
from tools.process import ROOT, Server

pytestmark = pytest.mark.slow


def test_a_sparse_model_shows_the_weights_of_terms(page: Page, kinds: Server) -> None:
    choose_view(page, "tokens")
    choose_model(page, "terms", "document.getElementById('tab-weights')")
    choose_view(page, "weights")
    body = {"inputs": TEXTS[0], "prompt_name": "passage"}
    [entries] = kinds.post("/tei/terms/embed_sparse", body).json
    expected = sorted(((one["value"], tiny.WORDS[one["index"]]) for one in entries), reverse=True)
    terms = page.evaluate(
        f"[...{PANEL}.querySelectorAll('.terms li')].map(one => [one.className, one.children[0].textContent, one.querySelector('b').textContent])"
    )
    assert [float(one[2]) for one in terms] == pytest.approx(
        [value for value, _ in expected], abs=6e-3
    )
    assert terms[0][1] == expected[0][1]
    added = {one[1] for one in terms if one[0] == "is-added"}
    assert added == {word for _, word in expected} - {*TEXTS[0].split(), "[CLS]", "[SEP]"}
    search(page, "the dog")
    assert float(listed(page)[0][1]) >= float(listed(page)[-1][1])


def test_a_view_is_of_the_model_that_is_chosen(page: Page, kinds: Server) -> None:
    choose_view(page, "tokens")
    code = "document.getElementById('snippet').textContent"
    choose_model(page, "terms", f"{code}.includes('/tei/terms/tokenize')")
    choose_view(page, "weights")
    page.requests.clear()
    choose_model(page, "dense", f"{code}.includes('/tei/dense/embed')")
    assert f"{kinds.url}/tei/dense/embed_sparse" not in page.requests


def test_a_multi_vector_model_shows_which_tokens_meet(page: Page, kinds: Server) -> None:
    choose_model(page, "late", "document.getElementById('tab-maxsim')")
    search(page, "the dog")
    choose_view(page, "maxsim")
    rows = [
        np.array(kinds.post("/tei/late/embed_all", {"inputs": [text], "prompt_name": name}).json[0])
        for text, name in (("the dog", "query"), *((text, "passage") for text in TEXTS))
    ]
    best = [float((rows[0] @ text.T).max(axis=1).sum()) for text in rows[1:]]
    assert listed(page) == [
        (TEXTS[i], f"{best[i]:.2f}") for i in np.argsort([-one for one in best], kind="stable")
    ]
    assert f"MaxSim {max(best):.2f}" in page.evaluate(f"{PANEL}.textContent")
    pairs = page.evaluate(
        f"[...{PANEL}.querySelectorAll('.pairs li')].map(one => [...one.children].map(part => part.textContent))"
    )
    assert [pair[0] for pair in pairs] == ["[CLS]", "query", ":", "the", "dog", "[SEP]"]
    assert ["dog", "dog"] in [pair[:2] for pair in pairs]


def test_models_without_vectors_rank_or_label(page: Page, kinds: Server) -> None:
    choose_model(page, "labels", f"{LIST}[0].querySelector('.score').textContent.includes('%')")
    answers = kinds.post("/tei/labels/predict", {"inputs": [[text] for text in TEXTS[:4]]}).json
    assert [score.split()[0] for _, score in listed(page)[:4]] == [
        one[0]["label"] for one in answers
    ]
    assert page.evaluate("document.getElementById('query').disabled")
    choose_model(page, "rerank", "!document.getElementById('query').disabled")
    search(page, "the dog")
    scores = {}
    for some in (TEXTS[:4], TEXTS[4:]):
        for one in kinds.post("/tei/rerank/rerank", {"query": "the dog", "texts": some}).json:
            scores[some[one["index"]]] = one["score"]
    assert [text for text, _ in listed(page)] == sorted(TEXTS, key=lambda text: -scores[text])


@pytest.mark.parametrize(
    ("model", "view", "query"),
    [("dense", "map", ""), ("dense", "heat", "the dog"), ("dense", "tokens", ""), ("dense", "types", ""),
     ("terms", "map", ""), ("terms", "map", "the dog"), ("terms", "weights", ""), ("late", "map", "the dog"),
     ("late", "maxsim", "the dog"), ("rerank", "tokens", "the dog")],
)  # fmt: skip
def test_the_code_of_each_view_runs(page: Page, model: str, view: str, query: str) -> None:
    if model != "dense":
        choose_view(page, "tokens")
        choose_model(
            page,
            model,
            f"document.querySelector('#model option:checked').text === '{model}' && {PANEL}.querySelector('.token')",
        )
        page.wait_for(f"document.getElementById('code').textContent.includes('/tei/{model}/')")
    if query:
        search(page, query)
    choose_view(page, view)
    commands = []
    for language in ("curl", "python"):
        page.evaluate(f"document.getElementById('as-{language}').click()")
        commands.append(page.evaluate("document.getElementById('snippet').textContent"))
    curl = subprocess.run(
        ["/bin/bash", "-ec", commands[0].replace("curl '", "curl -fsS '")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    decoder, rest, answers = json.JSONDecoder(), curl.stdout, 0
    while rest:
        answer, end = decoder.raw_decode(rest)
        rest, answers = rest[end:], answers + 1
        assert answer
    assert answers == commands[0].count("curl ")
    python = subprocess.run(
        [sys.executable, "-c", commands[1]],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_PROXY": "*"},
        check=False,
    )
    assert python.returncode == 0, (commands[1], python.stderr)
    if query and view in {"map", "heat"}:
        asked = [one for one in listed(page) if one[0] in TEXTS[:4]]  # what one request takes
        best = max(asked, key=lambda one: float(one[1]))[0]
        assert "# the first 4 of 6" in commands[1]
        assert python.stdout.splitlines()[0].endswith(f"  {best}")
