"""Figures of the house style: lengths of modules, places of tests, no private state in tests."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.test_floors import APP, EXPORT, ROOT, TESTS, TOOLS, imports, nodes
from tools.figures import body_lengths

MOST_LINES = 300  # lines of a test file
MOST_LINES_OF_A_MODULE = 250
MOST_LINES_OF_A_FUNCTION = 60
MOST_FILES = 12  # files of a folder
LEAST_SHARE = 0.9  # share of modules with tests of their name
# Where other modules are tested.
ELSEWHERE = {
    "app.api.shapes.openapi_types": "api/docs/test_schemas.py",
    "app.bulk.reading.source": "bulk/reading/test_inputs.py",
    "app.api.verbs.answer_headers": "api/http/test_endpoints.py",
    "app.api.verbs.input_fields": "api/verbs/test_tei_embed.py",
    "app.api.verbs.verb": "api/verbs/test_rendering.py",
    "app.options.model_options": "options/test_settings.py",
    "app.inference.admission": "inference/test_engine.py",
    "app.inference.providers.provider": "inference/providers/test_choose.py",
    "app.api.resources": "api/test_routes.py",
    "app.api.docs.answers": "api/docs/test_openapi.py",
    "app.api.docs.operations": "api/docs/test_openapi.py",
    "app.api.http.service": "api/http/test_endpoints.py",
    "app.inference.kinds.dtypes": "api/verbs/output/test_dtype.py",
    "app.inference.computing": "api/test_slices.py",
    "app.inference.several.shared": "inference/several/test_served_models.py",
    "export.from_onnx.graph": "export/graph/test_reader.py",
    "export.from_onnx.reference": "export/from_onnx/test_forms.py",
    "export.from_torch.convert": "export/test_pipeline.py",
    "export.from_torch.trace": "export/from_torch/test_originals.py",
    "export.precision.precisions": "export/precision/test_float16.py",
    "export.reference.clip_text": "export/config/test_clip.py",
    "export.reference.original": "export/from_torch/test_originals.py",
    "export.reference.own_reading": "export/reference/test_oracle.py",
    "export.reference.pipeline": "export/checkpoint/test_kinds.py",
    "export.routes.reference": "export/routes/test_routed.py",
}
MODULES = {
    module: path
    for module, path in (APP | EXPORT).items()
    if path.name not in {"__init__.py", "__main__.py"}
}


def place_of(module: str) -> str:
    """Return the file of a module's tests, below `tests/`."""
    *package, name = module.removeprefix("app.").split(".")
    return "/".join([*package, f"test_{name}.py"])


def has_tests(module: str) -> bool:
    """Return whether a module has tests of its name."""
    return (ROOT / "tests" / place_of(module)).is_file()


def lines(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text().splitlines())


def test_the_tests_of_a_module_are_found_by_its_name() -> None:
    missing = {place_of(module) for module in MODULES.keys() - ELSEWHERE if not has_tests(module)}
    assert not missing


def test_few_modules_are_tested_elsewhere() -> None:
    assert ELSEWHERE.keys() <= MODULES.keys()
    assert not [module for module in ELSEWHERE if has_tests(module)]
    assert not [place for place in ELSEWHERE.values() if not (ROOT / "tests" / place).is_file()]
    assert 1 - len(ELSEWHERE) / len(MODULES) >= LEAST_SHARE


def test_modules_are_short() -> None:
    long = {module for module, path in MODULES.items() if lines(path) > MOST_LINES_OF_A_MODULE}
    assert not long


def test_functions_are_short() -> None:
    longest = {
        module: max(body_lengths(path.read_text()), default=0) for module, path in MODULES.items()
    }
    assert not {
        module: length for module, length in longest.items() if length > MOST_LINES_OF_A_FUNCTION
    }


def test_folders_are_short() -> None:
    held = Counter(path.parent for path in (APP | EXPORT).values())
    assert {folder: count for folder, count in held.items() if count > MOST_FILES} == {}


def test_files_of_tests_are_short() -> None:
    assert not {module for module, path in TESTS.items() if lines(path) > MOST_LINES}


PRIVATE = re.compile(r"_[a-zA-Z]\w*")


def looked_into(path: Path) -> Iterator[str]:
    """Yield private state that a file uses, unless its line says why."""
    text = path.read_text().splitlines()
    for node in nodes(path):
        match node:
            case ast.Attribute(ast.Name("self" | "cls") | ast.Call(ast.Name("super"))):
                continue
            case ast.Attribute(attr=name):
                pass
            case ast.Call(ast.Attribute(attr="setattr"), [_, ast.Constant(str(name)), *_]):
                pass
            case _:
                continue
        if PRIVATE.fullmatch(name) and "# noqa: SLF001" not in text[node.lineno - 1]:
            yield f"{path.name}:{node.lineno}: {name}"


# Changes what processes find out about their processor, without the service's knowledge.
SABOTAGE = {"tools.processor.sitecustomize"}


def test_tests_look_at_nothing_private() -> None:
    looking = {
        module: [*looked_into(path), *filter(PRIVATE.fullmatch, last_names(path))]
        for module, path in (TESTS | TOOLS).items()
        if module not in SABOTAGE
    }
    assert not {module: found for module, found in looking.items() if found}


def last_names(path: Path) -> set[str]:
    """Return the last part of each name that a file imports."""
    return {name.rpartition(".")[2] for name in imports(path)} - {"__future__", "__main__"}
