"""Two and four processes on gloo: every parameter and buffer has the bits of the whole file.

The processes of one size are started once and run all its cases (`mesh_tasks`).
"""

from __future__ import annotations

import json

import pytest
from torch import distributed, multiprocessing

from tests.models.ranks import mesh_tasks

pytestmark = [
    pytest.mark.skipif(not distributed.is_gloo_available(), reason="torch has no gloo"),
    pytest.mark.timeout(600),
]

Faults = dict[str, str]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Faults]:
    return faults(2, tmp_path_factory)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Faults]:
    return faults(4, tmp_path_factory)


def faults(size: int, tmp_path_factory: pytest.TempPathFactory) -> list[Faults]:
    """The faults that each process saw, by case."""
    folder = tmp_path_factory.mktemp("mesh")
    multiprocessing.spawn(mesh_tasks.work, args=(size, str(folder)), nprocs=size)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


@pytest.mark.parametrize("case", mesh_tasks.cases(2))
def test_two_processes(two: list[Faults], case: str) -> None:
    assert [found[case] for found in two if case in found] == []


@pytest.mark.parametrize("case", mesh_tasks.cases(4))
def test_four_processes(four: list[Faults], case: str) -> None:
    assert [found[case] for found in four if case in found] == []
