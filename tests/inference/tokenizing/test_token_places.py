"""Places of tokens in the bytes of a text."""

from hypothesis import given
from hypothesis import strategies as st

from app.inference.tokenizing.tokenization import Tokenization
from tools import tiny

TEXTS = st.one_of(
    st.lists(st.sampled_from([*tiny.WORDS, "unknown", " ", "\n", "\0"]), max_size=30).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
).filter(bool)


@given(text=TEXTS, special=st.booleans())
def test_tokens_say_where_they_stand_in_the_bytes(
    tokenization: Tokenization, text: str, special: bool
) -> None:
    content = text.encode()
    end = 0
    found = list(tokenization.tokens_now(text, add_special_tokens=special))
    for token in found:
        if token.special:
            assert (token.start, token.stop) == (None, None)
            continue
        assert token.start is not None
        assert token.stop is not None
        assert end <= token.start <= token.stop <= len(content)
        assert content[token.start : token.stop].decode() == token.text
        end = token.stop
    assert sum(token.special for token in found) == (2 if special else 0)
