"""Memory peak: the batches that take most memory, run at start rather than under load."""

from concurrent.futures import ThreadPoolExecutor

from app.errors import OutOfMemory, StartupError
from app.inference.providers.session import Session
from app.model.batch import BatchLimits, largest, uneven
from app.model.manifest import Manifest
from app.model.names import TASK_OUTPUTS


def reach(session: Session, manifest: Manifest, limits: BatchLimits, max_length: int) -> None:
    """Run one token, then what takes most memory at a time, so that memory use reaches its peak.

    `max_length` is of an input, in tokens. Raises: StartupError naming the batch that does not fit
    into memory; BackendFailed.
    """

    def run(shape: tuple[int, int], output: str = TASK_OUTPUTS[manifest.task]) -> None:
        rows, length = shape
        batch = uneven(rows, length, manifest.padding)
        try:
            session.run(batch, (output,))
        except OutOfMemory as error:
            raise StartupError(
                f"a batch of {rows} × {length} tokens does not fit into memory: lower "
                f"--max-batch-tokens, which inputs are cut to ({error})"
            ) from None

    plan = session.plan
    *_, usual = largest(limits, min(max_length, limits.max_tokens))
    beside = [usual] * (plan.run_threads + plan.single_input_threads - 1)
    run((1, limits.padded(1)))
    with ThreadPoolExecutor(1 + len(beside)) as pool:
        for shape in largest(limits, max_length):
            list(pool.map(run, (shape, *beside)))
    for route in manifest.routes:
        if route.graph is not None:
            for shape in largest(limits, route.max_input_length):
                run(shape, route.output)
