"""`python -m tools.fuzz`: coverage-guided fuzzing of request bodies with libFuzzer.

Two things are fuzzed: `reading`, which is fast, and the whole `service` behind it. What reaches
new code is kept in `.fuzz/`, where the next run goes on; a body that fails is written to
`tools/fuzz/corpus/`, where `make test` tries it each time.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tools.process import ROOT

try:
    import atheris
except ImportError:
    sys.exit("atheris is missing; it has wheels for Linux on x86-64 only: make fuzz installs it")

with atheris.instrument_imports(include=["app"]):
    from tools.fuzz import reading
    from tools.fuzz.corpus import FOUND, MOST_BYTES, bodies
    from tools.fuzz.service import Applications

KEPT = ROOT / ".fuzz"
SLOWEST_SECONDS = 5
WORDS = (
    *(f'"{name}"' for shape in reading.SHAPES for name in shape.names),
    '"Left"', '"base64"', '"text"', '"cat"', "null", "true", "false", "[[", "]]", '{"', '":',
    '","', "-0", "1e999", "4294967296", "18446744073709551616", "NaN", "\\ud800", "\\u0069",
    "\\udc00", "\\\\", "é", "\U0001f600",
)  # fmt: skip


def main() -> None:
    """Fuzz for a time in seconds; libFuzzer ends the process, with 77 after a failure."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("target", choices=["reading", "service"])
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    asked = parser.parse_args()
    logging.disable()  # refusals are logged, and nearly all are refused
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = _options(asked.seconds, folder)
        folders = [KEPT / asked.target, folder / "seeds"]
        for one in folders:
            one.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(bodies().values()):
            (folder / "seeds" / str(number)).write_bytes(content)
        target = (
            reading.check if asked.target == "reading" else Applications(folder / "models").check
        )
        atheris.Setup([sys.argv[0], *options, *map(str, folders)], target)
        atheris.Fuzz()


def _options(seconds: int, folder: Path) -> list[str]:
    """Return libFuzzer's options, with a dictionary of what bodies are made of."""
    lines = [f'"{_escaped(word)}"' for word in WORDS]
    (folder / "words").write_text("\n".join(lines))
    return [
        f"-dict={folder / 'words'}",
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-artifact_prefix={FOUND}/",
        "-print_final_stats=1",
    ]


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
