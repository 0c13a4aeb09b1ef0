"""Memory: how much of it this process holds, and how much it may hold."""

import os
import resource
from pathlib import Path

_STATM = Path("/proc/self/statm")
_GROUPS = Path("/sys/fs/cgroup")


def is_known() -> bool:
    """Check whether the system tells a process how much memory it holds, as Linux does."""
    return _STATM.exists()


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def limit_bytes(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the bytes that this process may hold: the machine's, or fewer in a container.

    None if no system says so. `groups` is where control groups (cgroups(7)) of version 2 or 1 are
    mounted; `own` names this process's.
    """
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _of_group(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _of_group(groups / "memory", path, "memory.limit_in_bytes")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    found += [soft] * (soft != resource.RLIM_INFINITY)
    return min((one for one in found if one > 0), default=None)


def _of_group(root: Path, path: str, name: str) -> list[int]:
    """Return the limits of a group and of those around it; a container sees its own as the root."""
    group = root / path.strip("/")
    folders = [group, *group.parents][: len(Path(path).parts)] if group.is_dir() else [root]
    texts = [text for folder in folders for text in _lines(folder / name)]
    return [int(text) for text in texts if text.isdigit()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
