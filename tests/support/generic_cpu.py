"""Kernels compiled for a generic CPU without wide vectors, in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT


def on_generic_cpu(module: str, call: str, cache: Path) -> str:
    """Return the output of printing `call` in a process whose kernels target a generic CPU.

    Args:
        module: dotted name (`__name__`) of the module whose names `call` uses.
        call: expression, for example `"digest(2)"`.
        cache: empty folder, so that no kernel compiled for this CPU is found.
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
