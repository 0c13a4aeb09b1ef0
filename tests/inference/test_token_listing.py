"""Listing: tokens and texts in pieces, and the permits that the first piece gives back."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.errors import BatchTooLarge, EmptyInput, InvalidInput
from app.inference.served_model import ServedModel
from app.inference.token_listing import IDS_AT_ONCE
from app.inference.tokenizing.token_places import Token
from app.options.settings import Settings
from app.telemetry.metrics import Metrics


@pytest.fixture
def model(tiny_model: Path) -> Iterator[ServedModel]:
    opened = ServedModel.open(tiny_model, Settings(model_id="tiny"), Metrics())
    yield opened
    asyncio.run(opened.close())


def tokenize(model: ServedModel, texts: list[str], *, special: bool, prompt: str | None) -> str:
    async def gathered() -> str:
        parts = model.listing.tokenize(
            texts,
            lambda tokens: b" ".join(token.text.encode() for token in tokens),
            add_special_tokens=special,
            prompt_name=prompt,
        )
        return b"/".join([part async for part in parts]).decode()

    return asyncio.run(gathered())


def test_every_token_of_each_text_is_listed(model: ServedModel) -> None:
    assert tokenize(model, ["the cat", "sat"], special=False, prompt=None) == "the cat/sat"
    assert tokenize(model, ["the"], special=True, prompt=None) == "[CLS] the [SEP]"


def test_ids_become_texts(model: ServedModel) -> None:
    ids = [int(one) for one in model.loaded.tokenization.tokenizers.whole.encode("the cat").ids]

    async def gathered(batch: list[list[int]]) -> list[bytes]:
        parts = model.listing.decode(batch, str.encode, skip_special_tokens=True)
        return [part async for part in parts]

    assert asyncio.run(gathered([ids, ids[1:2]])) == [b"the cat", b"the"]
    with pytest.raises(EmptyInput, match="`input_ids` cannot be empty"):
        asyncio.run(gathered([ids, []]))


class Noting(Sequence[int]):
    """Ids of a message, which record how many are read at once and on which thread."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self.notes: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: Any) -> Any:
        found = self.ids[part]
        self.notes.append((len(found), threading.get_ident()))
        return found


def test_ids_of_a_message_are_read_in_parts_and_not_on_the_event_loop(model: ServedModel) -> None:
    """Half a million in one call would block its thread for a tenth of a second."""
    [_, cat, _] = model.loaded.tokenization.tokenizers.whole.encode("cat").ids
    ids = Noting([cat] * (2 * IDS_AT_ONCE + 1))

    async def decoded() -> list[bytes]:
        parts = model.listing.decode([ids], str.encode, skip_special_tokens=True)
        return [part async for part in parts]

    assert asyncio.run(decoded()) == [b" ".join([b"cat"] * len(ids))]
    assert [size for size, _ in ids.notes] == [IDS_AT_ONCE, IDS_AT_ONCE, 1]
    assert threading.get_ident() not in {thread for _, thread in ids.notes}


def test_permits_come_back_with_the_first_piece(model: ServedModel) -> None:
    permits = model.engine.admission.permits

    def held() -> int:
        return permits.total - permits.free

    async def watched() -> list[int]:
        found = []

        def render(_: Iterator[Token]) -> bytes:
            found.append(held())
            return b""

        texts = ["the cat " * 360] * 8  # two of which make a slice
        parts = model.listing.tokenize(texts, render, add_special_tokens=False, prompt_name=None)
        return found + [held() async for _ in parts]

    assert asyncio.run(watched()) == [8, 8, 0, 0, 0, 0, 0, 0] + [0] * 8


def test_errors_are_raised_before_the_first_piece(model: ServedModel) -> None:
    with pytest.raises(EmptyInput):
        tokenize(model, ["the", ""], special=True, prompt=None)
    with pytest.raises(InvalidInput, match="`default-prompt-name` is set to `nope`"):
        tokenize(model, ["the"], special=True, prompt="nope")
    with pytest.raises(BatchTooLarge):
        tokenize(model, ["the"] * 33, special=True, prompt=None)
