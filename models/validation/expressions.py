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

from seedpoint.models.validation.hints import did_you_mean, near

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


def _power(x: float, y: float) -> float:
    if x == 0 and y < 0:
        raise ZeroDivisionError
    return math.pow(x, y)


_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
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


# Functions of other languages, as an expression writes them.
_WRITTEN: Mapping[str, str] = {
    "pow": "x ** y",
    "rsqrt": "x ** -0.5",
    "square": "x ** 2",
    "log2": "log(x) / log(2)",
    "log10": "log(x) / log(10)",
}


class ExpressionError(ValueError):
    """Expression that does not parse or has no finite value."""


class NoValue(ExpressionError):
    """Expression without a finite value: a division by zero, the logarithm of zero."""


_NAMES = frozenset(FUNCTIONS)
_INFINITE = 'a finite number; "Infinity" is for constant, values, tril and triu alone'
# Names of other languages, as an expression writes them.
_NUMBERS: Mapping[str, str] = {
    "pi": repr(math.pi),
    "fan_avg": "(fan_in + fan_out) / 2",
    **dict.fromkeys(("inf", "Infinity", "infinity"), _INFINITE),
}


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
        kind = ExpressionError if isinstance(error, TypeError) else NoValue
        raise kind(f"expression {_shown(value)} has no value: {error}") from None
    if not math.isfinite(result):
        raise NoValue(f"expression {_shown(value)} is {result}, not a finite number")
    return result


def _check(node: ast.expr, text: str, depth: int, functions: frozenset[str]) -> None:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"expression is nested more than {MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            children: list[ast.expr] = []
        case ast.Name():
            children = []
        case ast.BinOp() if type(node.op) in _BINARY:
            children = [node.left, node.right]
        case ast.UnaryOp() if type(node.op) in _UNARY:
            children = [node.operand]
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in functions and node.args:
            children = node.args
        case _:
            # Names of deep trees are not written out: ast.unparse recurses.
            shown = _shown(
                ast.unparse(node.func if isinstance(node, ast.Call) else node)
                if depth < MAX_DEPTH
                else text
            )
            raise ExpressionError(_refusal(node, _shown(text), shown, functions))
    for child in children:
        _check(child, text, depth + 1, functions)


def _refusal(node: ast.expr, text: str, called: str, functions: frozenset[str]) -> str:
    """Return the message for a node that is not arithmetic; `called` is the function of a call."""
    match node:
        case ast.Constant():
            return f"{node.value!r} in {text} is not a real number"
        case ast.Call(func=ast.Name(id=name), keywords=[], args=[]) if name in functions:
            return f"{name}() in {text} needs an argument"
        case ast.Call(func=ast.Attribute(attr=name)) if name in functions:
            return f"{called} is written {name}() in an expression"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _WRITTEN:
            return f"{called} is written {_WRITTEN[name]} in an expression"
        case ast.Call():
            known = ", ".join(sorted(functions))
            return f"{called} cannot be called in an expression; functions: {known}"
        case ast.Attribute(attr=name):
            written = {"pi": repr(math.pi), "e": repr(math.e)}.get(name, name)
            return f"{text}: a name has no dot; write {written}"
        case ast.BinOp(op=ast.BitXor()):
            return f"{text}: a power is written `**`, not `^`"
        case _:
            return f"{text} is not arithmetic: it holds {_KINDS.get(type(node), 'something else')}"


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
        raise ExpressionError(f"unknown name '{name}'; {_instead(name, tuple(sorted(scope)))}")
    value = scope[name]
    if value is None:
        raise ExpressionError(
            f"'{name}' is undefined for a tensor of fewer than two dimensions; "
            '"fan": {"of": "weight"} takes the fans of the tensor weight beside it'
        )
    return float(value)


@lru_cache(maxsize=256)
def _instead(name: str, known: tuple[str, ...]) -> str:
    """Return what to write instead of an unknown name."""
    if name in _NUMBERS:
        return f"write {_NUMBERS[name]}"
    hint = f"{did_you_mean(close)}; " if (close := near(name, known)) else ""
    return f"{hint}known names: {', '.join(known)}; init.constants can define it"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
