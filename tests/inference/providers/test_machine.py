import os
from pathlib import Path

import pytest

from app.inference.providers import machine


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 8),
        (
            {
                "proc/self/cgroup": "0::/pod/app\n",
                "sys/fs/cgroup/pod/app/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n2:memory:/docker/x\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_the_quota_of_every_level_bounds_the_cores(
    tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    assert machine.usable_cores(lay_out(tmp_path, files)) == cores


def test_affinity_bounds_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert machine.usable_cores(tmp_path) == 1


def test_a_machine_is_identified_by_what_changes_its_arithmetic(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Fast CPU\nflags\t\t: fpu avx2 avx512f amx_bf16 sse\n")
    assert machine.describe(cpuinfo).endswith(" Fast CPU amx_bf16 avx512f avx2")


def test_an_arm_processor_is_identified_by_its_numbers(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    core = "Features\t: fp asimd bf16 sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
    cpuinfo.write_text(f"processor\t: 0\n{core}\nprocessor\t: 1\n{core}")
    assert machine.describe(cpuinfo).endswith(" 0x41 0xd40 bf16 sve")


@pytest.mark.parametrize(
    ("flags", "computes"),
    [
        ("fpu avx2", False),
        ("avx512f avx512_vnni", False),
        ("avx512f avx512_bf16", True),
        ("amx_tile amx_bf16", True),
        ("fp asimd asimddp sve", False),
        ("fp asimd sve i8mm bf16", True),
    ],
)
def test_processors_that_compute_in_bfloat16(tmp_path: Path, flags: str, computes: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert machine.computes_bfloat16(cpuinfo) is computes
    assert not machine.computes_bfloat16(tmp_path / "none")


@pytest.mark.parametrize(
    ("flags", "multiplies"), [("avx512f avx512_bf16", False), ("amx_tile amx_bf16", True)]
)
def test_processors_that_multiply_tiles(tmp_path: Path, flags: str, multiplies: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert machine.multiplies_tiles(cpuinfo) is multiplies


@pytest.mark.parametrize(
    ("flags", "exactly"),
    [
        ("fpu avx2", False),
        ("avx512f avx512bw", False),
        ("avx512f avx512_vnni", True),
        ("avx2 avx_vnni", True),
    ],
)
def test_processors_that_sum_bytes_exactly(tmp_path: Path, flags: str, exactly: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert machine.sums_bytes_exactly(cpuinfo) is exactly


def test_a_machine_without_cpuinfo_has_a_description(tmp_path: Path) -> None:
    assert machine.describe(tmp_path / "none")
