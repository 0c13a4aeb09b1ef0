"""Paths: which one a request's target names."""

# Of OpenAI's and Cohere's dialects, whose clients join them to a base URL that may end in a slash.
_JOINED = ("/v1/", "/v2/")


def path_of(target: str) -> str:
    """The path that a target names, as it is written, without a query or a fragment.

    Of a target that names the server too (RFC 9112, 3.2.2) it is what follows. Others name none:
    `*`, a server's name and port, and paths without their slash stay what they are.
    """
    target = target.partition("#")[0]
    if not target.startswith("/"):
        _, is_whole, rest = target.partition("://")
        if not is_whole:
            return target
        target = "/" + rest.partition("/")[2]
    return without_spare_slashes(target)


def without_spare_slashes(path: str) -> str:
    """The same path; of `/v1/…` and `/v2/…` without a slash too many, wherever it is.

    Other paths are TEI's, and count as they are written: `/embed/` and `//embed` are not `/embed`.
    """
    if "//" not in path and not path.endswith("/"):
        return path
    plain = "/" + "/".join(filter(None, path.split("/")))
    return plain if plain.startswith(_JOINED) else path
