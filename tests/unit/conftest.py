"""Small real inputs that several rooms share: generated videos, a tiny model, a study of a few runs."""

from pathlib import Path

import pytest

from vlmfrontier.data.digits.build import build_split


@pytest.fixture(scope="session")
def small_results(tmp_path_factory) -> Path:
    """A results folder with 24 training and 10 test videos, real mp4 files."""
    root = tmp_path_factory.mktemp("results") / "small"
    build_split(root / "data" / "train", "train", 24, "train", seed=3)
    build_split(root / "data" / "test", "test", 10, "test", seed=3)
    return root
