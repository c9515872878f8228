"""Arithmetic expressions of a spec: `"0.02 / sqrt(2 * n_layer)"`, evaluated in binary64.

An expression holds numbers, names, `+ - * / // % **`, parentheses and the functions of `FUNCTIONS`.
Nothing else parses, so an expression can neither loop nor reach anything outside its names.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

MAX_LENGTH = 1000  # characters
MAX_DEPTH = 100  # operations nested in one another

FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": lambda x: float(math.ceil(x)),
    "exp": math.exp,
    "floor": lambda x: float(math.floor(x)),
    "log": math.log,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
}

_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


_KINDS: Mapping[type[ast.expr], str] = {
    ast.BinOp: "an operator other than + - * / // % **",
    ast.UnaryOp: "an operator other than + - * / // % **",
    ast.BoolOp: "`and` or `or`",
    ast.Compare: "a comparison",
    ast.Dict: "an object",
    ast.IfExp: "a condition",
    ast.JoinedStr: "a string",
    ast.Lambda: "a function",
    ast.List: "a list",
    ast.Subscript: "an index in brackets",
    ast.Tuple: "a comma",
}


class ExpressionError(ValueError):
    """Expression that does not parse or has no finite value."""


class NoValue(ExpressionError):
    """Expression that divides by zero, or has no finite value for another reason."""


_NAMES = frozenset(FUNCTIONS)


@lru_cache(maxsize=4096)
def parse(text: str, functions: frozenset[str] = _NAMES) -> ast.expr:
    """Return the syntax tree of `text`, which may call `functions`.

    Raises:
        ExpressionError: If `text` is not plain arithmetic.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expression is longer than {MAX_LENGTH} characters")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError(
            f"expression {_shown(text)} does not parse; write arithmetic such as "
            "'0.02 / sqrt(2 * n_layer)'"
        ) from None
    _check(body, text, 0, functions)
    return body


def names(text: str, functions: frozenset[str] = _NAMES) -> frozenset[str]:
    """Return the names that `text`, which may call `functions`, needs in its scope."""
    nodes = list(ast.walk(parse(text, functions)))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return frozenset(n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in called)


def evaluate(value: float | int | str, scope: Mapping[str, float | None]) -> float:
    """Return the finite binary64 value of a number or expression under the names of `scope`.

    A name whose value is None is known but has no value here (fans of a vector).

    Raises:
        ExpressionError: For an unknown name, division by zero or overflow.
    """
    if not isinstance(value, str):
        return float(value)
    try:
        result = _evaluate(parse(value), scope)
    except ZeroDivisionError:
        raise NoValue(f"expression {_shown(value)} divides by zero") from None
    except (OverflowError, ValueError, TypeError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise NoValue(f"expression {_shown(value)} has no value: {error}") from None
    if not math.isfinite(result):
        raise NoValue(f"expression {_shown(value)} is {result}, not a finite number")
    return result


def _check(node: ast.expr, text: str, depth: int, functions: frozenset[str]) -> None:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"expression is nested more than {MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=bool() | str() | bytes() | complex() | None):
            raise ExpressionError(f"{node.value!r} in {_shown(text)} is not a real number")
        case ast.Constant(value=int() | float()) | ast.Name():
            children: list[ast.expr] = []
        case ast.BinOp() if type(node.op) in _BINARY:
            children = [node.left, node.right]
        case ast.UnaryOp() if type(node.op) in _UNARY:
            children = [node.operand]
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in functions and node.args:
            children = node.args
        case ast.Call(func=ast.Name(id=name), keywords=[], args=[]) if name in functions:
            raise ExpressionError(f"{name}() in {_shown(text)} needs an argument")
        case ast.Call(func=ast.Attribute(attr=name)) if name in FUNCTIONS:
            written = _shown(ast.unparse(node.func) if depth < MAX_DEPTH else text)
            raise ExpressionError(f"{written} is written {name}() in an expression")
        case ast.Call():
            called = _shown(ast.unparse(node.func) if depth < MAX_DEPTH else text)
            raise ExpressionError(
                f"{called} cannot be called in an expression; functions: "
                f"{', '.join(sorted(functions))}"
            )
        case ast.BinOp(op=ast.BitXor()):
            raise ExpressionError(f"{_shown(text)}: a power is written `**`, not `^`")
        case _:
            raise ExpressionError(f"{_shown(text)} is not arithmetic: it holds {_kind(node)}")
    for child in children:
        _check(child, text, depth + 1, functions)


def _kind(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"a name with a dot; write {_shown(node.attr)} alone"
    return _KINDS.get(type(node), "something else")


def _evaluate(node: ast.expr, scope: Mapping[str, float | None]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return _lookup(name, scope)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluate(left, scope), _evaluate(right, scope))
        case ast.UnaryOp(op=unary, operand=operand):
            return _UNARY[type(unary)](_evaluate(operand, scope))
        case ast.Call(func=ast.Name(id=name), args=args):
            return float(FUNCTIONS[name](*(_evaluate(arg, scope) for arg in args)))
    raise AssertionError(f"unchecked node {type(node).__name__}")


def _lookup(name: str, scope: Mapping[str, float | None]) -> float:
    if name not in scope:
        raise ExpressionError(
            f"unknown name '{name}'; known names: {', '.join(sorted(scope))}; "
            "init.constants can define it"
        )
    value = scope[name]
    if value is None:
        raise ExpressionError(f"'{name}' is undefined for a tensor of fewer than two dimensions")
    return float(value)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
