"""Base of all initializers: a schema that resolves to a source for a known tensor."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from pydantic import StrictFloat, StrictInt, Tag

from seedpoint.models.architectures.shapes import Layout
from seedpoint.models.dtypes import DType
from seedpoint.models.files.blobs import NO_BLOBS, BlobTensor
from seedpoint.models.initializers.fans import Fans
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Program, Source
from seedpoint.models.validation import expressions
from seedpoint.models.validation.messages import in_words
from seedpoint.models.validation.numbers import Number, Schema, tagged

INFINITE = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}
"""Spellings of the infinities, which JSON has no numbers for."""

_INTEGER = re.compile("-?[0-9]{1,20}")


class ArgumentError(ValueError):
    """Argument of an initializer that does not fit the tensor.

    `has_no_value` is true for an expression without one, such as a division by a fan of zero.
    """

    def __init__(self, argument: str, message: str, *, has_no_value: bool = False) -> None:
        super().__init__(message)
        self.argument = argument
        self.has_no_value = has_no_value


@dataclass(frozen=True, slots=True)
class Other:
    """Another tensor of the checkpoint, under its first name."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    program: Program


def _no_other(name: str) -> Other:
    raise ValueError(f"no tensor '{name}'")


@dataclass(frozen=True, slots=True)
class Target:
    """Tensor, or part of one, that an initializer is resolved against.

    `blobs` collects the bytes that literals refer to, by their SHA-256. Along `batch_axes` separate
    weights are stacked. `other` returns another tensor by one of its names, or raises ValueError;
    so does `blob_tensors` the tensors of a file, by the file's SHA-256.
    """

    shape: tuple[int, ...]
    dtype: DType
    fans: Fans | None
    scope: Mapping[str, float | None]
    blobs: MutableMapping[str, bytes] = field(default_factory=dict)
    layout: Layout = "out_in"
    batch_axes: frozenset[int] = frozenset()
    other: Callable[[str], Other] = _no_other
    blob_tensors: Callable[[str], Mapping[str, BlobTensor]] = NO_BLOBS.tensors

    def number(self, argument: str, value: int | float | str) -> float:
        """Return the value of a numeric argument.

        Raises:
            ArgumentError: If the argument has no value.
        """
        try:
            return expressions.evaluate(value, self.scope)
        except expressions.NoValue as error:
            raise ArgumentError(argument, str(error), has_no_value=True) from None
        except expressions.ExpressionError as error:
            raise ArgumentError(argument, str(error)) from None

    def exact(self, argument: str, value: int | float | str) -> int | float:
        """Return the value as `number` does, but keep integers of any size in an exact dtype."""
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        inexact = self.dtype.is_floating or self.dtype.torch.is_complex
        if isinstance(value, int) and not inexact:
            return value
        return self.number(argument, value)

    def value(self, argument: str, value: int | float | str) -> int | float:
        """Return the value as `exact` does, or the infinity that "Infinity" or "-Infinity" names.

        Raises:
            ArgumentError: If the argument has no value, or not one that the tensor can hold.
        """
        known = str(value).lstrip("+-") in self.scope
        if not isinstance(value, str) or known or (infinite := INFINITE.get(value)) is None:
            found = self.exact(argument, value)
            if not self.dtype.takes(found):
                raise ArgumentError(
                    argument, f"{found} is not a value that a {self.dtype} tensor can hold"
                )
            return found
        if not self.dtype.has_infinity:
            raise ArgumentError(argument, f"{self.dtype} has no infinity")
        return infinite

    def required_fans(self, initializer: str) -> Fans:
        """Return the fans.

        Raises:
            ValueError: If the tensor has fewer than two dimensions, and so no fans.
        """
        if self.fans is None:
            raise ValueError(
                f"{initializer} needs fan_in and fan_out, which a tensor of shape "
                f"{list(self.shape)} does not have: it needs at least two dimensions"
            )
        return self.fans

    def literal(self, values: np.ndarray, dtype: DType) -> program.Literal:
        """Keep `values` as a blob of elements of `dtype`, and return its literal."""
        blob = values.tobytes()
        digest = hashlib.sha256(blob).hexdigest()
        self.blobs[digest] = blob
        return program.Literal(digest, dtype.name)


class Initializer(Schema):
    """Base class of the initializers: one way to fill a tensor."""

    paper: ClassVar[str | None] = None
    """URL of the paper that the rule is from."""
    draws: ClassVar[bool] = True
    """True if it needs random numbers, and hence a floating tensor."""
    by_fans: ClassVar[bool] = False
    """True if its values are scaled by the fans of the weight."""
    of_matrix: ClassVar[bool] = False
    """True if it fills a matrix as a whole: each of a stack is filled separately."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Required arguments in the catalogue's example."""
    example_others: ClassVar[Mapping[str, Any]] = {}
    """Other tensors of the catalogue's example: shape and initializer, by name."""
    example_shape: ClassVar[tuple[int, ...]] = (16, 8)

    def source(self, target: Target) -> Source:
        """Return the resolved source.

        Raises:
            ValueError: If the tensor cannot take the initializer; ArgumentError for one argument.
        """
        raise NotImplementedError


Nonlinearity = Literal[
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]


class Gain(Schema):
    """Recommended gain of a nonlinearity (`torch.nn.init.calculate_gain`)."""

    nonlinearity: Nonlinearity
    param: StrictInt | StrictFloat | None = None


GainSpec = Annotated[
    Annotated[Number, Tag("<number>")] | Annotated[Gain, Tag("<gain>")],
    tagged("<number>", "<gain>", (Mapping, Gain)),
]


def resolve_gain(gain: int | float | str | Gain, target: Target) -> float:
    """Return the number that a gain argument stands for."""
    if isinstance(gain, str) and gain.isidentifier() and gain not in target.scope:
        known = ", ".join(get_args(Nonlinearity))
        raise ArgumentError("gain", f"unknown name {gain!r}; PyTorch has a gain for {known}")
    if not isinstance(gain, Gain):
        return target.number("gain", gain)
    return gain_of(gain.nonlinearity, gain.param, "gain.param")


def gain_of(nonlinearity: Nonlinearity, param: float | None, argument: str) -> float:
    """Return the gain of `torch.nn.init.calculate_gain`.

    Raises:
        ArgumentError: For a negative slope whose square is not finite.
    """
    try:
        return float(torch.nn.init.calculate_gain(nonlinearity, param))
    except OverflowError:
        raise ArgumentError(
            argument, f"the negative slope {in_words(param)} is too large: its square is not finite"
        ) from None
