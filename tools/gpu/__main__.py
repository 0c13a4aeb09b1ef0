"""`python -m tools.gpu`: print the GPU and the versions in use, or exit with code 1."""

import shutil
import subprocess
import sys

import onnxruntime

from tools.gpu import device


def main() -> int:
    if (fault := device.fault()) is not None:
        sys.stderr.write(f"error: no GPU to test on: {fault}\n")
        return 1
    sys.stdout.write(f"onnxruntime {onnxruntime.__version__}\n")
    sys.stdout.flush()
    if (program := shutil.which("nvidia-smi")) is not None:
        subprocess.run([program], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
