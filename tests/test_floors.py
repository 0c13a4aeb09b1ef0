"""Imports only go down, and every library is imported in named places: read from the source."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Packages and modules, the top first; imports go down, and never along a line.
FLOORS = (
    "app.__main__ app.healthcheck app.prove",
    "app.bulk app.program",
    "app.dry_run",
    "app.application app.download app.server",
    "app.preflight",
    "app.rpc",
    "app.api",
    "app.api.docs app.api.playground",
    "app.api.http",
    "app.api.verbs",
    "app.api.body",
    "app.api.shapes",
    "app.inference app.batches",
    "app.inference.batching app.inference.tokenizing",
    "app.inference.providers",
    "app.proof app.options.settings",
    "app.options.model_options",
    "app.options.values",
    "app.access",
    "app.options.command_line app.model.lookup",
    "app.model",
    "app.wire.http1 app.wire.http2",
    "app.wire",
    "app.operators app.telemetry",
    "app.errors app.lifecycle app.records",
)
# The same for the export, all of which is above what it shares with the app.
EXPORT_FLOORS = (
    "export.__main__",
    "export.pipeline",
    "export.output_types",
    "export.reading export.renewal export.routes",
    "export.cli export.from_onnx export.from_torch",
    "export.precision export.reference",
    "export.folder export.probe_texts export.source",
    "export.checkpoint",
    "export.rewriting",
    "export.graph export.weights",
    "export.config",
    "export.child export.errors",
    "export.progress",
)

DOORS = {
    "onnxruntime": {
        "app.inference.providers.nvidia.driver", "app.inference.providers.openvino", "app.inference.providers.ort_session",
        "app.inference.providers.provider", "app.inference.providers.session", "app.inference.providers.nvidia.tensorrt",
        "app.operators.library",
        "export.precision.trial", "export.from_onnx.reference",
    },
    "onnxruntime_ep_openvino": {"app.inference.providers.openvino"},
    "tokenizers": {
        "app.inference.tokenizing.pairs", "app.inference.tokenizing.token_places",
        "app.inference.tokenizing.documents", "app.inference.tokenizing.encodings",
        "app.inference.tokenizing.tokenizer_set", "export.from_onnx.reference", "export.reference.own_reading",
        "export.from_torch.settled_tokenizer", "export.routes.model2vec",
    },
    "orjson": {
        "app.api.batches.endpoint", "app.api.batches.items", "app.batches.input_lines", "app.batches.results",
        "app.bulk.reading.json_lines",
        "app.inference.tokenizing.pairs",
        "app.api.body.reader", "app.api.model_list", "app.api.open_inference", "app.api.verbs.openai", "app.api.routes", "app.api.verbs.tei_tokenize", "app.api.verbs.rendering",
        "app.telemetry.logs",
    },
    "starlette": {
        "app.api.batches.endpoint", "app.api.batches.files", "app.api.batches.uploads",
        "app.api.http.byte_budget", "app.api.http.client_gone", "app.api.http.endpoints", "app.api.http.forms.form", "app.api.http.forms.infer_form", "app.api.http.middleware", "app.api.model_list", "app.api.open_inference", "app.api.resources", "app.api.routes", "app.api.verbs.spans", "app.api.docs.swagger", "app.api.playground.pages",
        "app.api.http.transport", "app.application", "app.server.run", "app.wire.connections",
        "app.wire.http1.exchange", "app.wire.http2.unread", "app.server.serving",
    },
    "python_multipart": {"app.api.batches.uploads"},
    "httptools": {"app.wire.http1.bodies", "app.wire.http1.heads"},
    "grpc": {
        "app.rpc.answering", "app.rpc.bounds", "app.rpc.caller", "app.rpc.health", "app.rpc.messages", "app.rpc.public", "app.rpc.server", "app.rpc.statuses", "app.rpc.streams",
    },
    "google": {"app.rpc.messages"},
    "grpc_health": {"app.rpc.health", "app.rpc.public"},
    "grpc_reflection": {"app.rpc.public"},
    "hypercorn": {
        "app.wire.connections", "app.wire.http2.protocol", "app.wire.http2.connection", "app.server.serving",
    },
    "h2": {"app.wire.http2.protocol"},
    "uvloop": {"app.server.run"},
    "opentelemetry": {"app.telemetry.otlp"},
    "torch": {
        "export.from_torch.adapter", "export.reference.answers", "export.reference.clip_text", "export.reference.original",
        "export.reference.own_reading",
        "export.routes.reference", "export.reference.sentence_transformers", "export.weights.tensors",
        "export.from_torch.trace",
    },
    "transformers": {
        "export.from_torch.convert", "export.reference.original", "export.from_torch.other_environment", "export.reference.pipeline",
    },
    "sentence_transformers": {"export.routes.reference", "export.reference.sentence_transformers"},
    "optimum": {"export.from_torch.convert"},
    "onnx": {
        "export.rewriting.attention", "export.precision.calibration", "export.graph.assemble", "export.precision.float16",
        "export.graph.builder", "export.from_onnx.forms", "export.graph.reader", "export.precision.halves",
        "export.precision.int8", "export.rewriting.packing", "export.routes.routed", "export.from_onnx.graph",
        "export.routes.static_models", "export.precision.trial", "export.precision.cpu",
        "export.precision.openvino", "export.rewriting.plain",
        "export.precision.int16", "export.rewriting.linear_layers", "export.rewriting.activations",
        "export.rewriting.column_halves", "export.rewriting.scores", "export.rewriting.masks",
        "export.rewriting.settled_shapes",
    },
    "pyarrow": {"app.bulk.reading.parquet_file", "app.bulk.reading.streams", "app.bulk.writing.shards"},
    "tqdm": {"app.bulk.progress", "export.progress"},
    "huggingface_hub": {"export.source.hub"},
}  # fmt: skip

SHARED_WITH_EXPORT = ("app.model", "app.operators", "app.proof")


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Yield every node of a file."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> frozenset[str]:
    """Yield every module that a file imports, inside functions too."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def libraries(path: Path) -> set[str]:
    """Return the top names of all that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


APP = dict(modules("app"))
EXPORT = dict(modules("export"))
EVERY = APP | EXPORT


def floor(module: str) -> tuple[int, str]:
    """Return how far below the top a module stands, and the package that puts it there."""
    floors = EXPORT_FLOORS + FLOORS
    places = {name: place for place, line in enumerate(floors) for name in line.split()}
    while module not in places:
        module = module.rpartition(".")[0]
    return places[module], module


def below(path: Path, every: dict[str, Path]) -> set[str]:
    """Return our modules that a module imports; packages themselves hold nothing."""
    return {name for name in imports(path) & set(every) if every[name].name != "__init__.py"}


def goes_down(module: str, name: str) -> bool:
    """Return whether one module may import another; a package itself imports none."""
    if EVERY[module].name == "__init__.py":
        return False
    place, package = floor(module)
    its_place, its_package = floor(name)
    return its_place > place or its_package == package


def test_imports_only_go_down() -> None:
    going_up = {
        f"{module} imports {name}"
        for module, path in EVERY.items()
        for name in below(path, EVERY)
        if not goes_down(module, name)
    }
    assert not going_up


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: below(path, EVERY) for name, path in EVERY.items()}).prepare()


def test_the_server_never_imports_the_export() -> None:
    assert not [module for module, path in APP.items() if "export" in libraries(path)]


def test_the_export_shares_only_what_needs_numpy() -> None:
    shared = {name for path in EXPORT.values() for name in below(path, APP)}
    assert not [name for name in shared if not name.startswith(SHARED_WITH_EXPORT)]


def test_each_library_has_its_doors() -> None:
    users: dict[str, set[str]] = {library: set() for library in DOORS}
    for module, path in EVERY.items():
        for library in libraries(path) & set(DOORS):
            users[library].add(module)
    assert users == DOORS


def test_nothing_lives_in_a_drawer() -> None:
    drawers = {"utils", "helpers", "common", "misc"}
    assert not [module for module in EVERY if module.rsplit(".", 1)[-1] in drawers]


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield every call in a file."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield node


TESTS = dict(modules("tests"))
TOOLS = dict(modules("tools"))


def test_nothing_imports_a_test() -> None:
    """Tests use the tools' helpers: starting a server, a tiny model, texts."""
    others = APP | EXPORT | TOOLS
    assert not [module for module, path in others.items() if "tests" in libraries(path)]


def test_neither_program_imports_a_tool() -> None:
    assert not [module for module, path in EVERY.items() if "tools" in libraries(path)]


def test_no_tools_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: below(path, TOOLS) for name, path in TOOLS.items()}).prepare()


def test_processes_of_tests_end_with_them() -> None:
    """Only one module starts processes, and ends them where a test fails."""
    [starting] = {
        module
        for module, path in (TESTS | TOOLS).items()
        if any(ast.unparse(call.func).endswith("Popen") for call in calls(path))
    }
    assert starting == "tools.process"


# Folders of tests that `make test` leaves out.
SLOW = {"clients", "container", "slow"}


def test_no_test_sleeps_to_wait() -> None:
    """`eventually` of `tools.process` polls for what sends no event."""
    asleep = {
        module
        for module, path in TESTS.items()
        if path.relative_to(ROOT).parts[1] not in SLOW
        for call in calls(path)
        if ast.unparse(call.func).rpartition(".")[2] == "sleep"
        and ast.unparse(call.args[0]) != "0"  # asyncio.sleep(0) lets other tasks run
    }
    assert not asleep
