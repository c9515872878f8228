"""Programs in words: no Python of the service's own shows in them."""

from __future__ import annotations

import pytest

from seedpoint.models.draws import Normal
from seedpoint.models.plan.program import Constant, Log, Norms, Part, Plus, Program, Scale, Split
from seedpoint.models.statistics.describe import describe_program
from seedpoint.service.report.formatting import place, program

N, ZERO = Program(Normal.of(0.0, 0.02)), Program(Constant(0.0))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Program(Normal.of(0, 1), (Scale(2.0),)), "normal(mean=0, std=1), scale(value=2)"),
        (
            Program(Split(0, (Part(64, N), Part(64, N), Part(32, ZERO)))),
            "split along axis 0: 2 x 64 of normal(mean=0, std=0.02), 32 of constant(value=0)",
        ),
        (
            Program(Split(0, (Part(64, N), Part(32, ZERO)), repeat=8)),
            "split along axis 0, 8 times: 64 of normal(mean=0, std=0.02), 32 of constant(value=0)",
        ),
        (
            Program(Split(0, (Part(1, N),), repeat=8)),
            "split along axis 0: 8 x 1 of normal(mean=0, std=0.02)",
        ),
        (
            Program(N.source, (Plus((Log(), Scale(3.0))),)),
            "normal(mean=0, std=0.02), plus(transforms=log(), scale(value=3))",
        ),
        (Program(Norms(N, (4, 5), 0)), "norms(of=normal(mean=0, std=0.02), shape=[4, 5], axis=0)"),
        (Program(Constant(1 - 2j)), "constant(value=1 + -2i)"),
    ],
)
def test_a_program_is_words(made: Program, words: str) -> None:
    assert program(describe_program(made)) == words


def test_only_the_first_kinds_of_parts_are_told() -> None:
    parts = tuple(Part(n + 1, N) for n in range(9))
    shown = program(describe_program(Program(Split(1, parts))))
    assert shown.endswith("6 of normal(mean=0, std=0.02), and 3 more")


def test_a_part_has_the_place_of_a_slice() -> None:
    assert place([{"axis": 0, "start": 64, "stop": 128}]) == "[64:128]"
    nested = [{"axis": 1, "start": 64, "stop": 128}, {"axis": 1, "start": 2, "stop": 4}]
    assert place(nested) == "[:, 66:68]"
