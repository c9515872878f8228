"""`make bench`: run every benchmark, each paired with its baseline in the same run."""

from __future__ import annotations

import os
import platform

import torch

from benchmarks import files, issue, kernels, linears, planning, qr, sweep, windows
from benchmarks import statistics as statistics_


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    for title, benchmark in {
        "The stream against PyTorch": kernels.main,
        "Statistics fused with generation": statistics_.main,
        "Checkpoints over HTTP": issue.main,
        "Checkpoints with statistics in one answer": linears.main,
        "Large files": files.main,
        "Sweeps over one architecture": sweep.main,
        "Planning of large models": planning.main,
        "Householder QR against LAPACK": qr.main,
        "Columns against rows": windows.main,
    }.items():
        print(f"\n{title}")
        benchmark()


if __name__ == "__main__":
    main()
