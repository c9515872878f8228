"""Kernels compiled for a CPU without wide vectors, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT


def on_generic_cpu(module: str, call: str, cache: Path) -> str:
    """What `call`, a call of a function of `module`, prints there.

    Args:
        module: dotted name, as `__name__` gives it.
        call: an expression such as `"digest(2)"`.
        cache: an empty folder, so that nothing compiled for this CPU is found.
    """
    code = f"from {module} import *; print({call})"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ
        | {
            "NUMBA_CPU_NAME": "generic",
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_CACHE_DIR": str(cache),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()
