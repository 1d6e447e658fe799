"""Time limits out of the work: they grow with what decides it, and no job asks for a fixed time."""

import re
from pathlib import Path

import pytest

from tests.unit.sweep.test_resources import study_of
from vlmfrontier.cluster.site import Site
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.jobs import (
    ablation_hours,
    fitting_hours,
    preparation_hours,
    pretraining_hours,
    rating_hours,
    table_rows,
)
from vlmfrontier.sweep.resources import limit_minutes

ROOT = Path(__file__).parents[3]
SITE = Site()


def test_no_rule_asks_for_a_fixed_time():
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        assert not re.search(r"hours=\d|runtime *[=:] *\d", file.read_text()), file.name


@pytest.mark.parametrize(
    ("more", "factor"),
    [
        ({"forms": ["mult"]}, 1 / 7),
        ({"starts": 1000}, 2),
        ({"preset": "exhaustive"}, None),
        ({"backend": "scipy"}, None),
    ],
)
def test_fits_take_longer_with_more_to_do(more: dict, factor: float | None):
    hours, other = (fitting_hours(LawsConfig(**change), 1000) for change in ({}, more))
    assert other == pytest.approx(factor * hours, rel=0.1) if factor else other > hours
    assert fitting_hours(LawsConfig(), 2000, cores=4) == pytest.approx(hours / 2, rel=0.1)
    assert ablation_hours(LawsConfig(), 2000) == pytest.approx(2 * ablation_hours(LawsConfig(), 1000), rel=0.1)


def test_rows_of_a_table_are_counted():
    study = load_study([ROOT / "workflow/studies/chinchilla.yaml"])
    assert 200 < table_rows(study, 0) < 400
    assert table_rows(study_of(), 7) == 7


def test_data_takes_longer_with_more_videos(tmp_path: Path):
    few, many = study_of(), study_of(data={"digits": {"train": 800_000}})
    assert preparation_hours(many, "train", 1) == pytest.approx(1000 * preparation_hours(few, "train", 1))
    paper = load_study([ROOT / "workflow/studies/paper.yaml"])
    hours = preparation_hours(paper, "train", 16)
    assert preparation_hours(paper, "train", 8) > 1.9 * hours > 10
    # Nothing counts them: the files do, or at least the runs' examples.
    file = tmp_path / "made.json"
    file.write_text(" " * 5_000_000)
    made = {"name": "made", "annotations": str(file), "videos": str(tmp_path), "fetch": []}
    for source, size in ((made, 10_000), (made | {"count": 77}, 77)):
        study = uncounted_study(source)
        assert preparation_hours(study, "train", 1) == pytest.approx(size * 0.7001 / 3600)


def uncounted_study(source: dict):
    from vlmfrontier.study.load import merge, read_with_base, validate  # noqa: PLC0415

    base = read_with_base(ROOT / "workflow/studies/paper.yaml")
    designs = {"isoflop": None, "few": {"design": "grid", "N": ["1B"], "n": [50]}, "star": None}
    sweep = {"center": {"N": "1B", "T": 8, "V": 16}, "designs": designs}
    change = {"data": {"llava": {"sources": [source]}}, "sweep": sweep}
    return validate(merge(base, change))


def test_pretraining_and_rating_follow_their_steps_and_questions():
    study = load_study([ROOT / "workflow/studies/digits-pretrain.yaml"])
    gpu = SITE.gpu[0]
    assert pretraining_hours(study, "vision", gpu) == pytest.approx(6000 * 0.07 / 3600, rel=0.1)
    assert pretraining_hours(study, "align", gpu, "l") > pretraining_hours(study, "language", gpu, "l")
    assert pretraining_hours(study, "encode", gpu) < 1
    paper = load_study([ROOT / "workflow/studies/paper.yaml"])
    assert 1 < rating_hours(paper) < 10
    assert rating_hours(paper, points=25) == 25 * rating_hours(paper)


@pytest.mark.parametrize(("hours", "minutes"), [(0.0, 30), (0.5, 66), (1000.0, 2880)])
def test_a_limit_lies_between_the_sites_shortest_and_the_partitions_longest(hours: float, minutes: int):
    assert limit_minutes(SITE, SITE.gpu[0], hours) == minutes
