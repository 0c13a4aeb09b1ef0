"""What tests do on the page, and what they read there."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tools.browser import Page
from tools.playground.steps import press
from tools.process import Server

TEXTS = [
    "the cat sat on the mat",
    "a dog sat",
    "hello world",
    "a b c d e",
    "the dog, the cat",
    "hello cat !",
]
LIST = "[...document.querySelectorAll('#list [role=option]')]"
PANEL = "document.querySelector('[role=tabpanel]:not([hidden])')"
NOTICE = "document.getElementById('notice')"
FOCUS = "(document.activeElement.id || document.activeElement.className)"


def paste(page: Page, texts: list[str]) -> None:
    page.evaluate("document.getElementById('edit').click()")
    page.evaluate("document.getElementById('paste').select()")
    page.call("Input.insertText", text="\n".join(texts))
    press(page, "Enter", modifiers=2)  # with Ctrl
    page.wait_for(
        f"{LIST}.length === {len(texts)} && {LIST}[1].querySelector('.score').textContent"
    )


def choose_model(page: Page, name: str, until: str) -> None:
    page.evaluate(
        f"""(() => {{ const menu = document.getElementById('model')
        menu.selectedIndex = [...menu.options].findIndex(one => one.text === '{name}')
        menu.dispatchEvent(new Event('change')) }})()"""
    )
    page.wait_for(until)


def choose_text(page: Page, text: str) -> None:
    page.evaluate(
        f"{LIST}.find(one => one.querySelector('.words').textContent === {json.dumps(text)}).click()"
    )


def listed(page: Page) -> list[tuple[str, str]]:
    """The texts of the list in their order, each with the number beside it."""
    parts = "['.words', '.score'].map(part => one.querySelector(part).textContent)"
    found = page.evaluate(f"{LIST}.map(one => {parts})")
    return [(text, score) for text, score in found]


def cosines(server: Server, texts: list[str], **options: Any) -> Any:
    found = server.post(
        "/tei/dense/embed", {"inputs": texts[:4], "prompt_name": "passage", **options}
    ).json
    found += server.post(
        "/tei/dense/embed", {"inputs": texts[4:], "prompt_name": "passage", **options}
    ).json
    return np.array(found)


def words(page: Page) -> Any:
    return page.evaluate(f"{LIST}.map(one => one.querySelector('.words').textContent)")


def open_file(page: Page, path: Path) -> None:
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    chosen = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=chosen, files=[str(path)])
