"""Print the pip option that gets the CPU build of torch where the default one would bring 2.9 GB of CUDA, or nothing."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from urllib.request import urlopen

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> None:
    """Linux without an NVIDIA driver, without a local CPU wheel, and with the index in reach."""
    if platform.system() != "Linux" or shutil.which("nvidia-smi"):
        return
    found = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.stdout.strip():
        return  # wheels at hand decide
    try:
        urlopen(CPU_INDEX, timeout=3).close()
    except OSError:
        return
    print(f"--extra-index-url {CPU_INDEX}")


main()
