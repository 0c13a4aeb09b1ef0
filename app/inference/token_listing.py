"""Token listing: the tokens of texts and the texts of tokens, without running the model."""

import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Self

from app.inference.admission import Admission
from app.inference.tokenizing.encoding_input import require_ids
from app.inference.tokenizing.inputs_at_fault import (
    CountedAsTokenization,
    PromptLookup,
    each,
)
from app.inference.tokenizing.token_places import Token
from app.inference.tokenizing.tokenization import Tokenization

IDS_AT_ONCE = 10_000  # a call that lists them holds the interpreter for a millisecond or two


class Listing:
    """Answers `/tokenize` and `/decode`; lives on one event loop."""

    def __init__(self, admission: Admission, tokenization: Tokenization) -> None:
        self._admission = admission
        self._tokenization = tokenization

    def within(self, granted: int) -> Self:
        """Return the same listing for a request that already holds `granted` permits."""
        return type(self)(self._admission.within(granted), self._tokenization)

    async def tokenize(
        self,
        texts: Sequence[str],
        render: Callable[[Iterator[Token]], bytes],
        *,
        add_special_tokens: bool,
        prompt_name: str | None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the tokens of each text, never truncated, rendered on the tokenizer's threads.

        An error in any text is raised before the first is yielded. Holds a permit for each text
        until the first slice is ready; later slices are made once the client has taken those
        before.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(self._admission.admitted(len(texts)))
            with CountedAsTokenization():
                with PromptLookup(texts):
                    prompt = self._admission.prompt(prompt_name)
                    route = (
                        None if prompt_name is None else self._admission.named_route(prompt_name)
                    )
                special = add_special_tokens and (route is None or route.special_tokens)
                whole = each(lambda text: self._tokenization.whole_text(text, prompt), texts)

                def rendered(text: str) -> bytes:
                    return render(self._tokenization.tokens_now(text, add_special_tokens=special))

                async for one in self._rendered(whole, rendered, held):
                    yield one

    async def decode(
        self,
        batch: Sequence[Sequence[int]],
        render: Callable[[str], bytes],
        *,
        skip_special_tokens: bool,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the text of each list of ids, rendered in the pool; permits as in `tokenize`.

        Ids may be any sequence, as of a message: they are read in the pool as well.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(self._admission.admitted(len(batch)))
            with CountedAsTokenization():
                each(require_ids, batch)

                def rendered(ids: Sequence[int]) -> bytes:
                    decode = self._tokenization.decode_now
                    return render(decode(_listed(ids), skip_special_tokens=skip_special_tokens))

                async for one in self._rendered(batch, rendered, held):
                    yield one

    async def _rendered(
        self,
        items: Sequence[Any],
        render: Callable[[Any], bytes],
        held: contextlib.ExitStack,
    ) -> AsyncGenerator[bytes, None]:
        """Yield each rendered item; release `held` after the first slice."""
        slices = self._tokenization.in_slices(items, lambda some: list(map(render, some)))
        async with contextlib.aclosing(slices):
            while True:
                try:
                    found = await self._admission.in_time(anext(slices))
                except StopAsyncIteration:
                    return
                held.close()
                for one in found:
                    yield one


def _listed(ids: Sequence[int]) -> list[int]:
    """Return ids as a list, with turns for other threads in between."""
    starts = range(0, len(ids), IDS_AT_ONCE)
    return list(itertools.chain.from_iterable(ids[one : one + IDS_AT_ONCE] for one in starts))
