"""Generate the reference pages from the code: `python -m docs.generate`.

tests/project/test_docs.py fails if a page differs from the generated one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docs.imports import picture
from seedpoint.models import architectures, initializers, presets
from seedpoint.models.initializers import transforms
from seedpoint.models.plan.warning import CODES
from seedpoint.models.spec.schema import json_schema
from seedpoint.models.validation.messages import Asked
from seedpoint.service.app import create_app
from seedpoint.service.errors import ClientGone
from seedpoint.service.http.problems import KINDS, TYPE_PREFIX
from seedpoint.service.settings import Settings

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by `python -m docs.generate` from the code; edit that instead. -->\n"
# fields of every layer, documented once
COMMON = ("type", "name", "tie", "input_shape", "parametrizations")


def pages() -> dict[str, str]:
    """Return every generated page by file name."""
    return {
        "spec.md": spec_page(),
        "layers.md": layers_page(),
        "initializers.md": initializers_page(),
        "settings.md": settings_page(),
        "routes.md": routes_page(),
        "presets.md": presets_page(),
        "problems.md": problems_page(),
        "warnings.md": warnings_page(),
        "imports.svg": picture(),
    }


def spec_page() -> str:
    root = json_schema()
    parts = {"The spec": root} | {
        name: root["$defs"][name]
        for name in (
            *("Init", "Rule", "Match", "FanSpec", "Splits", "SplitPart", "Gain"),
            *("DTypePolicy", "DTypeRule"),
        )
    }
    sections = [
        f"## {title}\n\n{_summary(schema)}\n\n{_fields(schema, root)}"
        for title, schema in parts.items()
    ]
    intro = (
        "Every field of a spec. [layers.md](layers.md) lists the architectures and "
        "[initializers.md](initializers.md) the initializers and transforms. A field without a "
        "default is required; a field that is not listed is an error.\n\n"
    )
    return f"# The spec\n\n{NOTE}\n{intro}" + "\n".join(sections)


def layers_page() -> str:
    rows = []
    for entry in architectures.catalogue():
        schema = entry["schema"]
        required = set(schema.get("required", ())) - {"type"}
        properties = schema.get("properties", {})
        fields = {k: v for k, v in properties.items() if k in required or k not in COMMON}
        arguments = ", ".join(
            f"**{name}**" if name in required else f"{name}={_json(field.get('default'))}"
            for name, field in fields.items()
        )
        example = json.dumps(entry["example"], ensure_ascii=False)
        shown = f"`{example}`" if len(example) <= 160 else "in the catalogue"
        rows.append((f"`{entry['type']}`", entry["summary"], arguments, shown))
    intro = (
        "The types of `architecture` and of the layers inside it: the `torch.nn` classes with "
        "exactly their constructors' arguments (required ones bold), and Seedpoint's own types. "
        "Every layer may have `name` (if its container names its children) and `tie`; the "
        "architecture itself may have `input_shape`, which `Lazy*` layers need. Any type may be a "
        "child, a library's model too: its tensors are named and initialized as at the top, and no "
        "`config.json` is written for it. A preset has a `name` already, so its container gives "
        "its children as an object, whose keys name them. The forward passes (a residual sum, an "
        "attention) are not described: only names and shapes are.\n\n"
        "A layer of `torch.nn`, a `Module` or a `Custom` may have `parametrizations`, an object of "
        'tensor name -> `{"type": "weight_norm", "dim": 0}` or '
        '`{"type": "spectral_norm"}`, with the arguments, tensor names and initialization of '
        "`torch.nn.utils.parametrizations`: `weight` becomes `parametrizations.weight.original1`, "
        "and so on. Under `philox-v1`, norms or vectors over a `dim` for which the weight has to "
        "be reordered (a transposed convolution's spectral norm) or of all numbers (`null`) have "
        "no own init and need a rule; under generator `torch` they have.\n\n"
    )
    return f"# Architectures and layers\n\n{NOTE}\n{intro}" + _table(
        ("type", "what it is", "arguments", "example"), rows
    )


def initializers_page() -> str:
    found = [_entry(entry) for entry in initializers.catalogue()]
    changed = [_entry(entry) for entry in transforms.catalogue()]
    return (
        f"# Initializers and transforms\n\n{NOTE}\n"
        "Numbers may be arithmetic expressions over `fan_in`, `fan_out`, `numel`, `ndim`, captured "
        "names and `init.constants`.\n\n## Initializers\n\n"
        + "\n".join(found)
        + "\n## Transforms\n\nApplied after the draw, in order, each with one rounding.\n\n"
        + "\n".join(changed)
    )


def settings_page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "the number of CPUs" if field.default_factory else f"`{field.default}`"
        flag = f"`--{name.replace('_', '-')}`"
        rows.append((f"`SEEDPOINT_{name.upper()}`", flag, default, field.description or ""))
    intro = (
        "Each setting is an environment variable and a flag of `seedpoint serve`; the flag takes "
        "precedence.\n\n"
    )
    return f"# Settings\n\n{NOTE}\n{intro}" + _table(
        ("variable", "flag", "default", "what it is"), rows
    )


def routes_page() -> str:
    document = create_app(Settings()).openapi()
    rows = []
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            if method == "head":  # Documented with GET.
                assert "get" in operations
                continue
            statuses = ", ".join(code for code in sorted(operation["responses"]) if code.isdigit())
            what = operation["description"].split("\n\n")[0]
            rows.append((f"`{method.upper()} {path}`", what, statuses))
    intro = (
        "The OpenAPI document at `/openapi.json` has schemas and examples, and `/docs` shows it. "
        "Every GET route answers HEAD too. Every error is an RFC 9457 problem "
        "(`application/problem+json`). [api.md](api.md) describes the use of the routes.\n\n"
    )
    return f"# Routes\n\n{NOTE}\n{intro}" + _table(("route", "what it does", "answers"), rows)


def presets_page() -> str:
    rows = []
    for name in presets.names():
        found = presets.get(name)
        count = f"{found.parameters:,}"
        rows.append((f"`{name}`", count, found.dtype, found.description, found.source))
    intro = (
        'Architectures by name: in a spec `{"type": "preset", "name": "llama-tiny"}`, with '
        "`overrides` of the fields of its config; on the command line `seedpoint build NAME -o "
        "DIR`; as a repository of the [Hub](hub.md) `zoo/NAME`. Published models have their "
        "published numbers of parameters (tied ones counted once); tiny ones make files far below "
        "1 MB. The source is the repository on the Hub with the same config or shape.\n\n"
    )
    head = ("preset", "parameters", "dtype", "what it is", "source")
    return f"# Presets\n\n{NOTE}\n{intro}" + _table(head, rows)


def problems_page() -> str:
    found: dict[str, tuple[int, str, list[str]]] = {}
    for cls, kind in KINDS.items():
        if cls is not ClientGone:  # Only the log shows it: the client has left.
            words = (
                (cls.__doc__ or "").split("\n\n")[0] if cls.__module__.endswith(".errors") else ""
            )
            found.setdefault(kind.slug, (kind.status, kind.title, []))[2].append(words)
    rows = [
        (f"`{slug}`", str(status), title, next(filter(None, said), ""))
        for slug, (status, title, said) in sorted(found.items(), key=lambda row: row[1][0])
    ]
    intro = (
        f"The `type` of a problem is `{TYPE_PREFIX}` followed by one of these; `errors` has the "
        "path of each fault in the spec.\n\n"
    )
    return f"# Problems\n\n{NOTE}\n{intro}" + _table(("type", "status", "title", "when"), rows)


def warnings_page() -> str:
    sections = [f"## {code}\n\n{meaning}\n" for code, meaning in CODES.items()]
    intro = (
        "A checkpoint with warnings is issued, and may not be what was meant. Each of `warnings` "
        "begins with its code; `warning_details` has the code, the place in the spec and the "
        "section of this page.\n\n"
    )
    return f"# Warnings\n\n{NOTE}\n{intro}" + "\n".join(sections)


def _entry(entry: Mapping[str, Any]) -> str:
    schema = entry["schema"]
    paper = f" ([source]({entry['paper']}))" if entry.get("paper") else ""
    example = json.dumps(entry["example"], ensure_ascii=False)
    fields = _fields(schema, schema)
    return f"### `{entry['type']}`\n\n{entry['summary']}{paper}\n\n`{example}`\n\n{fields}"


def _fields(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        if name == "type":
            continue
        default = "required" if name in required else f"`{_json(field.get('default'))}`"
        is_number = "examples" in field and "expression" in field.get("description", "")
        words = "a number or an expression" if is_number else Asked(field, root).words(keys=False)
        what = "" if is_number else field.get("description", "")
        rows.append((f"`{name}`", words, default, what))
    return _table(("field", "takes", "default", "what it is"), rows) if rows else ""


def _summary(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "")).strip()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def main() -> None:
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
