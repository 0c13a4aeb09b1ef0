"""The processor that a run of the tests sees: the machine's own, or the one of PROCESSOR.

`sitecustomize.py` makes each Python process of such a run see it. Nothing can make a processor
compute what it does not: a run says at its end what it has shown, and what it has not.
"""

import os

from app.inference.providers import machine
from tools.processor.sitecustomize import CPUINFO, FLAGS, WITHOUT_OPENVINO

NAME = os.environ.get("PROCESSOR", "")


def fault() -> str | None:
    """Return why the tests do not see the requested processor, or None."""
    if not NAME or f"seen as {NAME}" in machine.describe():
        return None
    return f"PROCESSOR={NAME} is for `make test`: {', '.join(FLAGS)}"


def shown() -> list[str]:
    """Return what a run has shown, in a few lines for its summary."""
    here = machine.describe(CPUINFO)
    if not NAME:
        return [f"processor: {here}, as it is; PROCESSOR={'|'.join(FLAGS)} has others seen"]
    lines = [f"processor: {here}, seen as {NAME}: what is chosen there was chosen here"]
    if NAME == "plain":
        lines.append("not shown: int16, whose operators such a run does not find")
    if NAME in WITHOUT_OPENVINO:
        lines.append("not shown: OpenVINO, which such a run does not find")
    elif not machine.sums_bytes_exactly(CPUINFO):
        lines.append("not shown: VNNI's own sums, int8 was computed exactly by other instructions")
    if NAME == "bf16" and not machine.computes_bfloat16(CPUINFO):
        lines.append(
            "not shown: bfloat16, which nothing here computes; where it was chosen, float32 was "
            "computed and answers were rounded, and tests of what it costs were skipped"
        )
    return lines
