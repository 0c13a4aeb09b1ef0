"""Machine: its processor, and how many cores this process may use."""

import math
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that change which kernels run, and so the last digits of a vector.
_FEATURES = (
    "amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2",
    "bf16", "i8mm", "asimddp", "sve",
)  # fmt: skip


def describe(cpuinfo: Path = _CPUINFO) -> str:
    """Return the processor in one line: architecture, model name, relevant instruction sets."""
    text = _read(cpuinfo)
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    # Arm's are told by number: 0x41 0xd40 is a Neoverse V1.
    numbers = re.findall(r"^CPU (?:implementer|part)\s*:\s*(\S+)$", text, re.MULTILINE)[:2]
    name = model.group(1) if model else " ".join(numbers) or platform.processor()
    parts = [platform.machine(), name]
    known = _flags(cpuinfo)
    return " ".join(filter(None, [*parts, *(name for name in _FEATURES if name in known)]))


def computes_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Check whether a processor has instructions for bfloat16; Arm calls them bf16."""
    return not _flags(cpuinfo).isdisjoint({"amx_bf16", "avx512_bf16", "bf16"})


def is_arm64() -> bool:
    """Check whether this process runs on one of Arm's 64-bit processors."""
    return platform.machine() in {"aarch64", "arm64"}


def multiplies_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Check whether an x86 processor multiplies whole tiles of bfloat16 at a time (AMX)."""
    return "amx_bf16" in _flags(cpuinfo)


def sums_bytes_exactly(cpuinfo: Path = _CPUINFO) -> bool:
    """Check whether an x86 processor can add products of bytes in 32 bits.

    Without these instructions two products are added in 16 bits, and saturate if they do not fit.
    """
    return not _flags(cpuinfo).isdisjoint({"avx512_vnni", "avx_vnni"})


def _flags(cpuinfo: Path) -> set[str]:
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read(cpuinfo), re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()


def _read(cpuinfo: Path) -> str:
    try:
        return cpuinfo.read_text()
    except OSError:
        return ""


def usable_cores(root: Path = Path("/")) -> int:
    """Return the cores this process may use: CPU affinity, bounded by the container's quota."""
    quota = min(_quotas(root), default=math.inf)
    return max(1, min(len(os.sched_getaffinity(0)), math.ceil(min(quota, 1 << 20))))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of this process's control groups and those above them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        names = controllers.split(",")
        if controllers == "":
            mount, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in names:
            mount, read = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for folder in (path, *path.parents):
            quota = read(mount / folder)
            if quota is not None:
                yield quota


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota < 0 else quota / period
