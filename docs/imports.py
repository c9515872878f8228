"""Draws docs/imports.svg, a matrix of folders and their imports, from the code's import statements.

A row imports its columns. Rows are ordered so that imports point down the list as far as they can;
one that points up is below the diagonal, in another color.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREES = {"models": ROOT / "models", "service": ROOT / "service", "": ROOT / "src/seedpoint"}
LABEL, CELL, HEAD = 168, 19, 132  # pixels: width of row labels, size of a cell, height of the head
DOWN, UP, SAME = "#2f6f9f", "#c2452d", "#eef1f4"

Edge = tuple[str, str]


def imports() -> Counter[Edge]:
    """Count the pairs of modules of which one imports the other, by their places."""
    edges: Counter[Edge] = Counter()
    for path in modules():
        importer = place(path)
        others = map(place, set(imported(path)))
        edges.update((importer, other) for other in others if other != importer)
    return edges


def modules() -> Iterator[Path]:
    """Yield every module, each under one path although src/seedpoint links to the trees."""
    for name, tree in TREES.items():
        yield from sorted(tree.rglob("*.py") if name else tree.glob("*.py"))


def place(path: Path) -> str:
    """Return `models/plan` for a module inside that folder, `service/app.py` for one beside it."""
    if not path.is_relative_to(ROOT / "models") and not path.is_relative_to(ROOT / "service"):
        return "seedpoint"
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2])


def imported(path: Path) -> Iterator[Path]:
    """Yield the modules of this project that one module imports, for type checkers alone too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield from _resolved(f"{node.module}.{alias.name}", node.module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolved(alias.name)


def _resolved(*names: str) -> Iterator[Path]:
    """Yield the file of the first name that is a module of this project."""
    for name in names:
        parts = name.split(".")
        if parts[0] != "seedpoint" or len(parts) == 1:
            continue
        tree = TREES.get(parts[1], TREES[""])
        path = tree.joinpath(*parts[2 if tree != TREES[""] else 1 :])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file
                return


def ordered(edges: Mapping[Edge, int]) -> list[str]:
    """Order places so that few imports point up: the service first, then the models."""
    names = sorted({name for edge in edges for name in edge})
    found: list[str] = []
    for tree in ("seedpoint", "service/", "models/"):
        found += _improved(_sorted([name for name in names if name.startswith(tree)], edges), edges)
    return found


def _sorted(names: list[str], edges: Mapping[Edge, int]) -> list[str]:
    """Return names before those that they import; where imports go round, in any order."""
    found: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for other in names:
                if (name, other) in edges:
                    visit(other)
            found.insert(0, name)

    for name in names:
        visit(name)
    return found


def _improved(names: list[str], edges: Mapping[Edge, int]) -> list[str]:
    """Move one name at a time to its best position, until no move is better."""
    best, cost = names, _upward(names, edges)
    improved = True
    while improved:
        improved = False
        for name in names:
            rest = [other for other in best if other != name]
            for position in range(len(names)):
                candidate = [*rest[:position], name, *rest[position:]]
                if (upward := _upward(candidate, edges)) < cost:
                    best, cost, improved = candidate, upward, True
    return best


def _upward(names: list[str], edges: Mapping[Edge, int]) -> tuple[int, int]:
    """Count the pairs of places whose imports point up, and those of their modules."""
    counts = [
        edges[name, above]
        for row, name in enumerate(names)
        for above in names[:row]
        if (name, above) in edges
    ]
    return len(counts), sum(counts)


def picture() -> str:
    """Return the SVG document."""
    edges = imports()
    names = ordered(edges)
    width, height = LABEL + CELL * len(names) + HEAD, HEAD + CELL * len(names) + 8
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        "<title>Folders of Seedpoint and their imports</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, name in enumerate(names):
        middle = CELL * number + CELL // 2
        if number % 2:
            lines.append(_rect(0, HEAD + CELL * number, LABEL + CELL * len(names), CELL, "#f7f8fa"))
        lines.append(
            f'<text x="{LABEL - 8}" y="{HEAD + middle + 4}" text-anchor="end">{escape(name)}</text>'
        )
        turned = f'transform="translate({LABEL + middle + 4} {HEAD - 8}) rotate(-60)"'
        lines.append(f"<text {turned}>{escape(name)}</text>")
        lines.append(_rect(LABEL + CELL * number, HEAD + CELL * number, CELL, CELL, SAME))
    for row, importer in enumerate(names):
        for column, other in enumerate(names):
            if count := edges.get((importer, other), 0):
                lines += _mark(row, column, f"{importer} imports {other}", count)
    return "\n".join([*lines, "</svg>\n"])


def _mark(row: int, column: int, title: str, count: int) -> Iterator[str]:
    x, y = LABEL + CELL * column, HEAD + CELL * row
    yield f"<g><title>{escape(title)}: {count}</title>"
    yield _rect(x + 1, y + 1, CELL - 2, CELL - 2, DOWN if column > row else UP)
    yield (
        f'<text x="{x + CELL / 2:g}" y="{y + CELL / 2 + 3.5:g}" text-anchor="middle" '
        f'fill="white" font-size="10">{count}</text></g>'
    )


def _rect(x: int, y: int, width: int, height: int, fill: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>'
