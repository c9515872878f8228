"""Guarded process that runs snippets from standard input and prints the outcome of each."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from seedpoint.models.errors import SpecError
from seedpoint.service.planning.allowed_paths import Places
from seedpoint.service.planning.sandbox import Guard


def outcome(guard: Guard, code: str, names: dict[str, str]) -> str:
    """Run a snippet; return "done" and its `result`, "refused" and a spec fault, or the error."""
    document = {"architecture": {"type": "any", "model": names.get("canary", "")}}
    scope: dict[str, object] = dict(names)
    try:
        with guard.refusing(document):
            exec(code, scope)
    except SpecError as error:
        return f"refused {error}"
    except Exception as error:  # noqa: BLE001 - reported as the outcome
        return f"{type(error).__name__} {error}"
    return f"done {scope.get('result')}"


def main() -> None:
    request = json.load(sys.stdin)
    folder = tempfile.mkdtemp(dir=request["names"]["folder"])
    tempfile.tempdir = folder
    sys.path.append(request["names"]["library"])
    guard = Guard(Places.of_process(folder))
    guard.enforce()
    outcomes = {code: outcome(guard, code, request["names"]) for code in request["snippets"]}
    with guard.lifted():
        outcomes["lifted"] = Path(request["names"]["canary"]).read_text()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
