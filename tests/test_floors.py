"""Imports only go down, and every library has one door: read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Modules on one floor never import each other, unless a floor says that they stand in order.
FLOORS = [
    {"app.__main__", "app.healthcheck", "app.prove"},
    {"app.program"},
    {"app.application", "app.preparation", "app.server"},
    {"app.listening", "app.preflight"},
    {"app.download", "app.exposition", "app.info", "app.workspace"},
    {"app.child"},
    {"app.otlp"},
    {"app.settings"},
    {"app.option_values"},
    {"app.command_line", "app.heartbeat"},
    {"app.wire.serving"},
    {"app.wire.http1", "app.wire.http2_connection"},
    {"app.wire.exchange", "app.wire.http2"},
    {"app.wire.connections", "app.wire.uploads"},
    {"app.wire.alarm", "app.wire.answers", "app.wire.bodies", "app.wire.heads", "app.wire.inbox",
     "app.wire.patience", "app.wire.states"},
    {"app.api.routes"},
    {"app.api.operations"},
    {"app.api.openapi", "app.api.swagger"},
    {"app.api.schemas"},
    {"app.api.endpoints", "app.api.middleware", "app.api.cohere", "app.api.embedding",
     "app.api.openai", "app.api.scoring"},
    {"app.api.tokens", "app.api.vertex"},
    {"app.api.answers", "app.api.counting"},
    {"app.api.bodies", "app.api.body", "app.api.correlation", "app.api.spans", "app.api.verb"},
    {"app.api.streaming"},
    {"app.api.capture", "app.api.inputs", "app.api.passing", "app.api.tree", "app.api.walker"},
    {"app.api.scanner"},
    {"app.api.runs"},
    {"app.api.numerals", "app.api.quotations"},
    {"app.api.fields", "app.api.icon", "app.api.model_name", "app.api.paths", "app.api.transport"},
    {"app.api.faults", "app.api.garbage", "app.api.spelling"},
    {"app.inference.health"},
    {"app.inference.engine", "app.inference.loading"},
    {"app.inference.admission"},
    {"app.inference.worker", "app.inference.tokenization"},
    {"app.inference.pending", "app.inference.runner_pool", "app.inference.warm_up"},
    {"app.inference.acceptance", "app.inference.runner", "app.inference.waiting"},
    {"app.inference.session", "app.inference.job"},
    {"app.inference.failures"},
    {"app.inference.nvidia", "app.inference.openvino", "app.inference.tensorrt"},
    {"app.inference.providers", "app.inference.proof", "app.inference.machine",
     "app.inference.priority"},
    {"app.inference.plan"},
    {"app.inference.probes"},
    {"app.inference.token_answers"},
    {"app.inference.comparison"},
    {"app.inference.agreement", "app.inference.postprocess"},
    {"app.inference.model_names"},
    {"app.inference.batch", "app.inference.repository", "app.inference.routing",
     "app.inference.published_names", "app.inference.snapshot",
     "app.inference.spellings"},
    {"app.inference.manifest"},
    {"app.inference.archive", "app.inference.bounded", "app.inference.declared",
     "app.inference.pair_text", "app.inference.progress", "app.inference.turns"},
    {"app.model.names"},
    {"app.last_words"},
    {"app.allocator", "app.errors", "app.lifecycle", "app.logs", "app.metrics", "app.signals",
     "app.tracing"},
    {"app.outlet"},
    {"app.standard_files"},
    {"app", "app.api", "app.inference", "app.model", "app.wire"},
]  # fmt: skip

DOORS = {
    "onnxruntime": {
        "app.inference.nvidia", "app.inference.openvino", "app.inference.session",
        "export.cpu_session", "export.onnx_reference",
    },
    "onnxruntime_ep_openvino": {"app.inference.openvino"},
    "tokenizers": {
        "app.inference.tokenization", "export.onnx_reference", "export.reference",
        "export.settled_tokenizer",
    },
    "orjson": {
        "app.api.body", "app.api.openai", "app.api.routes", "app.api.tokens", "app.api.verb",
        "app.logs",
    },
    "starlette": {
        "app.api.bodies", "app.api.correlation", "app.api.endpoints", "app.api.middleware", "app.api.routes", "app.api.spans", "app.api.swagger",
        "app.api.transport", "app.application", "app.server", "app.wire.connections",
        "app.wire.exchange", "app.wire.serving",
    },
    "httptools": {"app.wire.bodies", "app.wire.heads"},
    "hypercorn": {
        "app.wire.connections", "app.wire.http2", "app.wire.http2_connection", "app.wire.serving",
    },
    "h2": {"app.wire.http2"},
    "uvloop": {"app.server"},
    "opentelemetry": {"app.otlp"},
    "torch": {
        "export.adapter", "export.answers", "export.clip_text", "export.head_reference", "export.original",
        "export.reference",
        "export.route_reference", "export.sentence_reference", "export.tensors",
        "export.trace",
    },
    "transformers": {
        "export.convert", "export.original", "export.originals", "export.pipeline_reference",
    },
    "sentence_transformers": {"export.route_reference", "export.sentence_reference"},
    "optimum": {"export.convert"},
    "onnx": {
        "export.attention", "export.calibration", "export.converted_graph", "export.float16",
        "export.graph_builder", "export.graph_forms", "export.graph_reading", "export.halves",
        "export.int8", "export.packing", "export.routed", "export.source_graph",
        "export.static_models", "export.trial", "export.unpadded",
    },
    "huggingface_hub": {"export.hub"},
}  # fmt: skip

SHARED_WITH_EXPORT = {
    "app",
    "app.inference",
    "app.inference.agreement",
    "app.inference.archive",
    "app.inference.batch",
    "app.inference.bounded",
    "app.inference.manifest",
    "app.inference.model_names",
    "app.inference.pair_text",
    "app.inference.probes",
    "app.inference.published_names",
    "app.inference.proof",
    "app.inference.repository",
    "app.inference.snapshot",
    "app.inference.spellings",
    "app.inference.token_answers",
    "app.model",
    "app.model.names",
}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


APP = dict(modules("app"))
EXPORT = dict(modules("export"))


def test_every_module_has_its_floor() -> None:
    assert set().union(*FLOORS) == set(APP)


@pytest.mark.parametrize("module", APP)
def test_imports_only_go_down(module: str) -> None:
    floor = next(i for i, names in enumerate(FLOORS) if module in names)
    for name in imports(APP[module]) & set(APP):
        below = next(i for i, names in enumerate(FLOORS) if name in names)
        assert below > floor, f"{module} imports {name}"


@pytest.mark.parametrize("module", APP)
def test_the_server_never_imports_the_export(module: str) -> None:
    assert not any(name.split(".")[0] == "export" for name in imports(APP[module]))


@pytest.mark.parametrize("module", EXPORT)
def test_the_export_shares_only_what_needs_numpy(module: str) -> None:
    of_the_app = imports(EXPORT[module]) & set(APP)
    assert of_the_app <= SHARED_WITH_EXPORT


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_doors(library: str) -> None:
    users = {
        module
        for module, path in (APP | EXPORT).items()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == DOORS[library]


@pytest.mark.parametrize("module", [*APP, *EXPORT])
def test_nothing_lives_in_a_drawer(module: str) -> None:
    assert module.rsplit(".", 1)[-1] not in {"utils", "helpers", "common", "misc"}


def test_what_tests_start_ends_with_them() -> None:
    """Only one module starts processes, and ends them where a test fails."""
    starting = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Popen")
    }
    elsewhere = {"tests/bench/infinity.py", "tests/clients/service.py"}  # programs of their own
    assert starting - elsewhere == {"tests/process.py"}


# Folders of programs that measure, and of tests that `make test` leaves out.
SLOW = {"attacks", "bench", "clients", "container", "overload", "slow", "soak"}


def test_no_test_sleeps_to_wait() -> None:
    """One function does, for what tells nobody that it has happened; and a fault is to sleep."""
    tests = ROOT / "tests"
    asleep = {
        str(path.relative_to(tests))
        for path in tests.rglob("*.py")
        if path.relative_to(tests).parts[0] not in SLOW
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "sleep"
        and ast.unparse(node.args[0]) != "0"  # of asyncio: lets others go first
    }
    assert asleep == {"faulty.py", "process.py"}
