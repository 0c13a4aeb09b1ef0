"""`python -m tools.faulty FAULT …`: the service with a fault, which the word `query` triggers.

`leaks` and `connection-breaks` need no trigger. Health is probed more often than by default.
"""
# ruff: noqa: B010  # types do not allow for sabotage

import ctypes
import sys
import threading
import time
from typing import Any

import onnxruntime

from app import program
from app.api.body import reader
from app.inference import health
from app.inference.batching.queue import Waiting
from app.inference.providers.session import Session
from app.inference.tokenizing.tokenization import Tokenization
from app.wire.http1.connection import Http1
from tools import tiny

WORD = tiny.WORDS.index("query")
never = threading.Event()


def is_set_off(inputs: Any) -> bool:
    return "query" in str(inputs)


def run_hangs() -> None:
    real = Session.run

    def run(self: Session, batch: Any, outputs: Any) -> Any:
        if WORD in batch.input_ids:
            never.wait()
        return real(self, batch, outputs)

    setattr(Session, "run", run)


def run_raises() -> None:
    real = Session.run

    def run(self: Session, batch: Any, outputs: Any) -> Any:
        if WORD in batch.input_ids:
            raise RuntimeError("injected")
        return real(self, batch, outputs)

    setattr(Session, "run", run)


def device_is_lost() -> None:
    """Raise ONNX Runtime's error for a lost device; here there is no device to lose."""
    real = onnxruntime.InferenceSession.run

    def run(self: Any, outputs: Any, feed: Any, options: Any) -> Any:
        if WORD in feed["input_ids"]:
            raise RuntimeError(
                "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Gemm "
                "node.\nCUDA failure 700: an illegal memory access was encountered ; GPU=0 ; line=1"
            )
        return real(self, outputs, feed, options)

    setattr(onnxruntime.InferenceSession, "run", run)


def tokenizer_hangs() -> None:
    real = Tokenization.encode_now

    def encode_now(self: Tokenization, inputs: Any, *options: Any) -> Any:
        if is_set_off(inputs):
            never.wait()
        return real(self, inputs, *options)

    setattr(Tokenization, "encode_now", encode_now)


def tokenizer_raises() -> None:
    real = Tokenization.encode_now

    def encode_now(self: Tokenization, inputs: Any, *options: Any) -> Any:
        if is_set_off(inputs):
            raise RuntimeError("injected")
        return real(self, inputs, *options)

    setattr(Tokenization, "encode_now", encode_now)


def worker_dies() -> None:
    real = Waiting.take

    def take(self: Waiting, *arguments: Any, **options: Any) -> Any:
        rows = real(self, *arguments, **options)
        if any(WORD in job.inputs[index].input_ids for job, index in rows):
            raise MemoryError("injected")
        return rows

    setattr(Waiting, "take", take)


def leaks() -> None:
    real = Session.run
    kept: list[bytes] = []

    def run(self: Session, batch: Any, outputs: Any) -> Any:
        kept.append(b"x" * 1_000_000)
        return real(self, batch, outputs)

    setattr(Session, "run", run)


def loop_hangs() -> None:
    real = reader.in_turns

    async def in_turns(content: bytes, *arguments: Any) -> Any:
        if is_set_off(content):
            time.sleep(1000)  # noqa: ASYNC251  # which is the fault
        return await real(content, *arguments)

    setattr(reader, "in_turns", in_turns)


def interpreter_hangs() -> None:
    """Hold the interpreter, like native code that neither returns nor lets other threads run."""
    real = reader.in_turns

    async def in_turns(content: bytes, *arguments: Any) -> Any:
        if is_set_off(content):
            ctypes.PyDLL(None).sleep(1000)
        return await real(content, *arguments)

    setattr(reader, "in_turns", in_turns)


def connection_breaks() -> None:
    """Break when the server closes the connection, as it does with idle ones at its end."""

    def end(_: Http1) -> None:
        raise RuntimeError("injected")

    setattr(Http1, "end", end)


if __name__ == "__main__":
    setattr(health, "PROBE_INTERVAL_SECONDS", 2.0)
    {
        "run-hangs": run_hangs,
        "run-raises": run_raises,
        "device-is-lost": device_is_lost,
        "tokenizer-hangs": tokenizer_hangs,
        "tokenizer-raises": tokenizer_raises,
        "worker-dies": worker_dies,
        "loop-hangs": loop_hangs,
        "interpreter-hangs": interpreter_hangs,
        "connection-breaks": connection_breaks,
        "leaks": leaks,
    }[sys.argv.pop(1)]()
    program.run_to_end()
