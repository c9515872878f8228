"""Coverage of transformers' model types: `python -m benchmarks.coverage [TYPE ...]`.

By default it checks every model type and writes its section of docs/models.md. It exits with 1 if
a recording is wrong.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

from benchmarks.coverage.check import Outcome, tried

PROCESSES = min(os.cpu_count() or 1, 8)
LONGEST_SECONDS = 300  # Timeout, because a worker that fails to import a module never answers.
MODELS_A_PROCESS = 25  # Models per worker, whose exit then frees its memory.


def main(names: list[str]) -> int:
    from importlib.metadata import version

    from transformers.models.auto.configuration_auto import (  # type: ignore[attr-defined]
        CONFIG_MAPPING_NAMES,
    )

    from benchmarks.coverage.report import counts, write

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["seedpoint.models.planning.compiler", "transformers.modeling_utils"]
    )
    asked = names or sorted(CONFIG_MAPPING_NAMES)
    outcomes: list[Outcome] = []
    with context.Pool(PROCESSES, maxtasksperchild=MODELS_A_PROCESS) as pool:
        found = pool.imap_unordered(tried, asked)
        for _ in asked:
            outcome = found.next(timeout=LONGEST_SECONDS)
            outcomes.append(outcome)
            if outcome.verdict != "right" or names:
                print(f"{outcome.model_type}: {outcome.verdict} {outcome.detail}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts(outcomes).most_common()))
    if not names:
        write("transformers", f"transformers {version('transformers')}", outcomes)
    return int(any(outcome.verdict == "wrong" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
