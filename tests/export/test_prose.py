"""Prose: sentences of the manual that Python carries."""

from export import prose


def test_prose_is_made_of_sentences_of_many_lengths() -> None:
    texts = prose.sample(420)
    words = [len(text.split()) for text in texts]
    assert len(texts) > 400
    assert len(set(texts)) == len(texts)
    assert (min(words), max(words)) == (3, 64)
    assert all(text[0].isprintable() and text == " ".join(text.split()) for text in texts)
