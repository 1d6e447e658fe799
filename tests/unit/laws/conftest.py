"""Sweeps and tables that the tests of the laws share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.synthetic import paper_sweep
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.study.analysis import LawsConfig


@pytest.fixture(scope="session")
def quick() -> LawsConfig:
    """A search that takes a second: enough for what these tests ask."""
    return LawsConfig(preset="fast", starts=60, resamples=12)


@pytest.fixture(scope="session")
def sweep() -> ResultsTable:
    """The paper's grid with a strong interaction and 1% noise."""
    return paper_sweep(seed=3)


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes text as a CSV and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(text)
        return path

    return write
