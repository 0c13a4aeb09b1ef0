"""Row keys: what decides a row, as few bytes that no client can choose."""

import secrets
from hashlib import blake2b

from app.model.batch import TokenizedInput

KEY_BYTES = 16


class RowKeys:
    """Makes the keys of rows of one model.

    They are of the token ids, their types, the prompt's length, the route and the output. A random
    secret stands for all else that decides a row, the model and its precision: no other model has
    the same. It also keeps anybody from looking for two inputs of one key.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._begun: dict[tuple[str, str], blake2b] = {}

    def key(self, tokens: TokenizedInput, output: str, route: str) -> bytes:
        """Return the key of an input's row of an output, computed on a route."""
        begun = self._begun.get((output, route)) or self._begin(output, route)
        hashing = begun.copy()
        types = tokens.token_type_ids
        if types is None and not tokens.prompt_length:
            hashing.update(b"i")
        elif types is None:
            hashing.update(b"p%d:" % tokens.prompt_length)
        else:  # as many as ids, so the end of those needs no mark
            hashing.update(b"t%d:" % tokens.prompt_length)
            hashing.update(types.data)
        hashing.update(tokens.input_ids.data)
        return hashing.digest()

    def _begin(self, output: str, route: str) -> blake2b:
        begun = blake2b(digest_size=KEY_BYTES, key=self._secret)
        begun.update(f"{output}\0{route}\0".encode())
        self._begun[output, route] = begun
        return begun
