"""`make gpu-bench`: tokens a second at full length, queries a second over HTTP, on an NVIDIA GPU.

Beside them sentence-transformers in float16 with SDPA, where `--original` names its checkpoint and
torch has CUDA. `--provider cpu` runs the same on a CPU, to see that the bench itself works: it was
written without a GPU, and no figure of it has been published.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.model.batch import Batch, TokenizedInput, blank, collate
from app.model.lookup import repository
from app.model.manifest import Manifest
from app.model.names import TASK_OUTPUTS, DtypeChoice
from app.prove import with_graphs
from tools.bench.load import get, load
from tools.gpu import device
from tools.process import ROOT, Server
from tools.texts import passages

ROWS = 32
CONNECTIONS = (1, 8, 32, 128)


def main(arguments: Sequence[str]) -> int:
    """Measure one exported model; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.bench", allow_abbrev=False)
    parser.add_argument("model_id", metavar="MODEL_ID")
    parser.add_argument("--provider", choices=("cuda", "tensorrt", "cpu"), default="cuda")
    parser.add_argument("--cache-dir", type=Path, help="where TensorRT engines are kept")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--original", type=Path, help="the checkpoint that was exported")
    options = parser.parse_args(arguments)
    folder = repository.find(options.model_id, None, ROOT / "models")
    fault = None if options.provider == "cpu" else device.fault()
    if fault is not None:
        fault = f"no GPU to measure on: {fault}"
    elif folder is None:
        fault = f"{options.model_id} is not exported: make export MODEL_ID={options.model_id}"
    elif shutil.which("wrk") is None:
        fault = "wrk is missing, which makes the load: apt-get install wrk"
    if fault is not None or folder is None:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    length = Manifest.read(folder).max_input_length
    torch_device = "cpu" if options.provider == "cpu" else "cuda"
    precisions = [
        ProviderRequest(options.provider, dtype, cache_dir=options.cache_dir)
        for dtype in precisions_of(folder, options.provider)
    ]
    for line in (
        *(line for one in precisions for line in bare(folder, one, length, options.seconds)),
        *bound(folder, precisions[0], length, options.seconds / 4),
        *reference(options.original, torch_device, length, options.seconds),
        *(line for one in precisions for line in served(folder, one, int(options.seconds))),
    ):
        sys.stdout.write(f"{line}\n")
    return 0


def precisions_of(folder: Path, provider: str) -> tuple[DtypeChoice, ...]:
    """Return the precisions: float32, and float16 where the model has a graph that CUDA serves."""
    halved = any(graph.dtype == "float16" for graph in Manifest.read(folder).graphs)
    return ("float32", "float16") if halved and provider == "cuda" else ("float32",)


def bare(folder: Path, wanted: ProviderRequest, length: int, seconds: float) -> Iterator[str]:
    """Tokens a second of the session alone, by each of its graphs: padding is not counted."""
    manifest = Manifest.read(folder)
    outputs = (TASK_OUTPUTS[manifest.task],)
    mixed = [TokenizedInput(np.zeros(n, np.int64)) for n in np.linspace(1, length, ROWS, dtype=int)]
    batches = {
        f"{ROWS} × {length}": blank(ROWS, length, manifest.padding),
        f"{ROWS} × 1 to {length}": collate(mixed, manifest.padding, length),
    }
    for plan in with_graphs(wanted, manifest):
        session = Session.load(folder, manifest, plan, plan.limits(length, ROWS * length))
        for shape, batch in batches.items():
            session.run(batch, outputs)  # the first run allocates
            took = _milliseconds(partial(session.run, batch, outputs), seconds) / 1000
            rate = batch.attention_mask.sum() / took
            yield f"{plan.name}, bare session, {shape}: {rate:,.0f} tokens a second"


def bound(folder: Path, wanted: ProviderRequest, length: int, seconds: float) -> Iterator[str]:
    """Time runs as the service makes them and through IOBinding: the smallest and a large one."""
    manifest = Manifest.read(folder)
    [plan] = plans(wanted, manifest.task)
    session = Session.load(folder, manifest, plan, plan.limits(length, ROWS * length))
    output = TASK_OUTPUTS[manifest.task]
    binding = session._session.io_binding()  # noqa: SLF001  # not used by the service

    def through_binding(batch: Batch) -> NDArray[np.float32]:
        binding.clear_binding_inputs()
        binding.clear_binding_outputs()
        for name in session.graph.inputs:
            binding.bind_cpu_input(name, getattr(batch, name))
        binding.bind_output(output)
        session._session.run_with_iobinding(binding)  # noqa: SLF001
        [found] = binding.copy_outputs_to_cpu()
        return cast("NDArray[np.float32]", found)

    for rows, tokens in ((1, 8), (ROWS, length)):
        batch = blank(rows, tokens, manifest.padding)
        plain = session.run(batch, (output,))[output]
        np.testing.assert_allclose(through_binding(batch), plain, atol=1e-5)
        ways: dict[str, Callable[[], object]] = {
            "a run": partial(session.run, batch, (output,)),
            "through IOBinding": partial(through_binding, batch),
        }
        found = ", ".join(f"{name} {_milliseconds(way, seconds):.3f}" for name, way in ways.items())
        yield f"{session.provider} {session.compute_dtype}, {rows} × {tokens}, ms: {found}"


def _milliseconds(way: Callable[[], object], seconds: float) -> float:
    runs, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        way()
        runs += 1
    return 1000 * (time.perf_counter() - started) / runs


def reference(original: Path | None, on: str, length: int, seconds: float) -> Iterator[str]:
    """The same of sentence-transformers, tokenization included."""
    if original is None:
        yield "sentence-transformers: not measured, --original names no checkpoint"
        return
    import torch
    from sentence_transformers import SentenceTransformer

    from tools.bench.peers.answering import rate

    if on == "cuda" and not torch.cuda.is_available():
        yield f"sentence-transformers: not measured, torch {torch.__version__} has no CUDA here"
        return
    dtype = torch.float16 if on == "cuda" else torch.float32
    kind = {"dtype": dtype, "attn_implementation": "sdpa"}
    model = SentenceTransformer(str(original), device=on, model_kwargs=kind)
    model.max_seq_length = length
    texts = ["word " * (2 * length)] * (2 * ROWS)  # each is cut to the full length
    rate(model, texts, ROWS, 0.1)
    count, taken, *_ = rate(model, texts, ROWS, seconds)
    tokens = count * length / taken
    name = f"sentence-transformers {dtype} sdpa"
    yield f"{name}, {ROWS} × {length}: {tokens:,.0f} tokens a second"


def served(folder: Path, wanted: ProviderRequest, seconds: int) -> Iterator[str]:
    """Queries a second over HTTP, one per request."""
    queries = passages(400, longest_words=25, seed=1)[:300]
    flags = ["--provider", wanted.provider, "--dtype", wanted.dtype, "--log-level", "warn"]
    if wanted.cache_dir is not None:
        flags += ["--cache-dir", str(wanted.cache_dir)]
    server = Server("--model-id", str(folder), *flags)
    try:
        server.wait_ready(300)
        server.wait_warm()
        info = get(server, "/info")
        for connections in CONNECTIONS:
            found = load(server, queries, connections, seconds)
            rate = f"{found.wall:,.0f} queries a second, median {found.latency}"
            yield f"{info['provider']} {info['model_dtype']}, {connections} connections: {rate}"
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
