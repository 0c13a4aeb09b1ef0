"""The tree of errors at the top of `app/errors.py`, compared with the classes that exist."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

from app import errors
from tests.test_floors import APP, EXPORT

DOCUMENT = inspect.getdoc(errors) or ""
ROOTS, OTHERS = (
    [line.removeprefix("    ") for line in part.splitlines() if line.startswith("    ")]
    for part in DOCUMENT.split("What becomes of each", 1)
)


def drawn() -> Iterator[tuple[str, str, str | None]]:
    """Yield each line of the tree: a class, the class above it, and its status."""
    above: dict[int, str] = {-1: "Exception"}
    for line in ROOTS:
        found = re.fullmatch(r"(\W*)(\w+) +(\d{3})?.*", line)
        assert found, line
        depth = len(found[1]) // 4
        above[depth] = found[2]
        yield found[2], above[depth - 1], found[3]


def defined(modules: list[str]) -> dict[str, list[type[BaseException]]]:
    """Return the error classes that the modules define, by module."""
    found = {}
    for module in modules:
        members = vars(importlib.import_module(module)).values()
        classes = [
            one
            for one in members
            if isinstance(one, type) and issubclass(one, BaseException) and one.__module__ == module
        ]
        if classes:
            found[module] = classes
    return found


def test_the_tree_is_drawn_as_it_is() -> None:
    classes = defined(["app.errors"])["app.errors"]
    expected = [
        (one.__name__, one.__bases__[0].__name__, getattr(one, "status", None)) for one in classes
    ]
    told = [(name, above, int(status) if status else None) for name, above, status in drawn()]
    assert sorted(told, key=str) == sorted(expected, key=str)


def test_every_other_error_of_the_service_is_listed() -> None:
    elsewhere = defined([module for module in APP if module != "app.errors"])
    names = {one.__name__ for classes in elsewhere.values() for one in classes}
    assert names == {line.split()[0] for line in OTHERS}


def test_no_other_module_adds_to_the_tree() -> None:
    """All messages for clients and operators are in one place."""
    elsewhere = defined([module for module in APP if module != "app.errors"])
    reached = (errors.ServiceError, errors.UnreadableRequest, errors.StartupError)
    assert not [
        one for classes in elsewhere.values() for one in classes if issubclass(one, reached)
    ]


def test_the_export_has_one_error_for_its_operator() -> None:
    """The source is read, since an import would load PyTorch."""
    found = {
        f"{module}.{node.name}"
        for module, path in EXPORT.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(
            re.search(r"(Exception|Error|Failed|Fault)$", ast.unparse(one)) for one in node.bases
        )
    }
    assert found == {
        "export.errors.ExportError",
        "export.reference.sentence_transformers.Unloadable",
    }
