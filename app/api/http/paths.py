"""Paths: the path that a request's target names."""

# Paths of OpenAI's and Cohere's dialects, whose clients join them to a base URL that may end in a
# slash.
_JOINED = ("/v1/", "/v2/", "/openai/v1/")


def path_of(target: str) -> str:
    """Return the path that a target names, as it is written, without a query or a fragment.

    If a target names the server too (RFC 9112, 3.2.2), its path is what follows. Other targets name
    no path and are returned as they are: `*`, a server's name and port, paths without their slash.
    """
    target = target.partition("#")[0]
    if not target.startswith("/"):
        _, is_whole, rest = target.partition("://")
        if not is_whole:
            return target
        target = "/" + rest.partition("/")[2]
    return without_spare_slashes(target)


def without_spare_slashes(path: str) -> str:
    """Return the path, and remove superfluous slashes anywhere below the prefixes in `_JOINED`.

    Other paths are TEI's, and count as they are written: `/embed/` and `//embed` are not `/embed`.
    """
    if "//" not in path and not path.endswith("/"):
        return path
    plain = "/" + "/".join(filter(None, path.split("/")))
    return plain if plain.startswith(_JOINED) else path
