"""Answers to one question, and the words they are told in."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.made_studies import made
from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.answers import answer
from vlmfrontier.frontier.measured import nearest_runs
from vlmfrontier.frontier.pool import Members, Target, TargetLaws, as_in_the_paper
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.frontier.sentences import text, two_lines
from vlmfrontier.frontier.space import RunRange, grid_space

SPACE = grid_space({"N": [1e3, 4e3], "T": np.arange(1, 11), "V": [1, 4, 9, 16]}, PaperCost(M=5e3, W=16))
RNG = np.random.default_rng(0)
A = RNG.lognormal(0, 0.2, (30, 3)) @ np.stack(
    [20 / SPACE.factors["N"] * 1e3, 20 / SPACE.factors["T"], 30 / SPACE.factors["V"]]
)
MEMBERS = Members(A, np.full_like(A, 9), RNG.uniform(0.3, 0.5, 30), data_unit=100)
RUNS = pd.DataFrame(
    {
        "run": ["a", "b", "c", "d"],
        "N": [1e3, 4e3, 4e3, 1e3],
        "T": [1, 2, 8, 8],
        "V": [4, 4, 16, 4],
        "n": [100, 200, 400, 400],
        "avg": [60.0, 40.0, 20.0, 30.0],
    }
)
FACTORS = ("N", "T", "V")
COUNTS = {"N": "parameters", "n": "finetuning examples"}
TARGET = Target(
    "avg", SPACE, as_in_the_paper(MEMBERS), RunRange.of({k: RUNS[k] for k in FACTORS}, RUNS.n), counts=COUNTS
)


def test_the_answer_is_the_row_of_the_frontier():
    found = answer(TARGET, RUNS, 9e5, 200, near=0.01)
    row = frontier_table(TARGET, np.array([9e5]), np.array([200.0]), near=0.01).iloc[0]
    assert found.choice.x == {name: row[name] for name in FACTORS}
    for name in ("cost", "f", "f_lo", "f_hi", "p_best", "p_near", "regret_p90"):
        assert getattr(found.choice, name) == pytest.approx(row[name])
    assert found.alternatives[0].f == pytest.approx(row.second_f)


def test_more_budget_and_more_data_are_answered_too():
    found = answer(TARGET, RUNS, 9e5, 200, near=0.01)
    assert found.double_budget.f < found.choice.f
    assert found.double_budget.cost <= 2 * 9e5
    assert found.double_examples.f < found.choice.f
    assert len({tuple(choice.x.values()) for choice in (found.choice, *found.alternatives)}) == 3


def test_the_nearest_runs_come_first():
    nearest = nearest_runs(RUNS, TARGET, {"N": 4e3, "T": 7, "V": 16}, 300)
    assert (nearest[0]["run"], nearest[0]["avg"]) == ("c", 20)
    assert len(nearest) == 3


def test_extrapolation_is_said_in_plain_words():
    inside, beyond = (answer(TARGET, RUNS, 9e5, n, near=0.01) for n in (400, 1200))
    assert not any("n =" in warning for warning in inside.warnings)
    assert any("3 times the runs' largest" in warning and "n^-d beyond 400" in warning for warning in beyond.warnings)


def test_an_answer_reads_as_text_and_as_json():
    found = answer(TARGET, RUNS, 9e5, 1200, near=0.01)
    lines = text(found).splitlines()
    asked = "With 900k FLOPs per video and 1.2k finetuning examples, which N, T and V give the least avg?"
    assert lines[0] == asked
    assert lines[1].startswith("  Deploy N = 4k parameters, ")
    assert "(bagging spread of the law " in lines[2]  # one bag, as in the paper, is not called an interval
    assert sum("next best" in line for line in lines) == 2
    assert sum("measured: " in line and "nearest" not in line for line in lines) == 2
    assert sum("nearest run" in line for line in lines) == 3
    assert any(line.startswith("  caveat: n = 1.2k") for line in lines)
    assert json.loads(json.dumps(found.record()))["choice"]["f"] == found.choice.f


@pytest.mark.parametrize(
    ("budget", "examples", "message"),
    [
        (10.0, 200, "below the cheapest configuration"),
        (9e5, 0, "0 examples: the number must be positive"),
        (9e5, None, "--examples is missing: give the number of finetuning examples"),
    ],
)
def test_questions_without_an_answer_are_refused(budget, examples, message):
    with pytest.raises(UserError, match=message):
        answer(TARGET, RUNS, budget, examples, near=0.01)


def scaled(scale: float, largest: float | None = 100.0) -> Target:
    """Return a target whose models predict errors so many times as large."""
    members = replace(MEMBERS, A=MEMBERS.A * scale, B=MEMBERS.B * scale, largest=largest or np.inf)
    return replace(TARGET, ensemble=as_in_the_paper(members))


@pytest.mark.parametrize(
    ("scale", "largest", "prediction", "said"),
    [
        (1.0, 100.0, False, ""),
        (2.5, 100.0, False, "The upper end of the law's range is above 100 and is capped."),
        (50.0, 100.0, True, "The law's own prediction is above 100 and is capped."),
        (50.0, None, False, ""),  # a loss, which may be as large as it likes
    ],
)
def test_an_error_that_cannot_be_is_not_shown_as_one(scale, largest, prediction, said):
    found = answer(scaled(scale, largest), RUNS, 3e5, 100, near=0.01)
    lines, warnings = text(found), [warning for warning in found.warnings if "above 100" in warning]
    assert ("predicted error 100 (" in lines) == prediction
    assert (" to 100; a new run" in lines) == bool(said)
    ends = (found.choice.f, found.choice.f_hi, found.choice.run_hi, *(other.f for other in found.alternatives))
    assert largest is None or max(ends) <= largest
    assert [warning.startswith(said) for warning in warnings] == ([True] if said else [])
    deploy, sure = two_lines(found)
    assert (" to 100; a new run" in deploy) == bool(said)
    clause = said[:1].lower() + said[1:].removesuffix(".")
    assert f"; {clause}" in sure if said else "above" not in sure
    assert found.choice.f_lo <= found.choice.f <= found.choice.f_hi


def test_small_losses_keep_their_digits_and_nothing_is_less_than_nothing():
    found = answer(scaled(1e-4, None), RUNS, 9e5, 200, near=0.01)
    lines = text(found)
    assert f"predicted avg {found.choice.f:#.3g} " in lines
    assert f"{found.alternatives[0].f:#.3g} (+0.0" in lines
    same = replace(found, double_budget=replace(found.choice, f=found.choice.f * (1 - 1e-6)))
    assert "-0.0" not in text(same).split("twice the budget")[1].splitlines()[0]


@pytest.mark.parametrize("unit", ["FLOPs", "ms"])
def test_every_cost_has_its_unit(unit):
    found = replace(answer(TARGET, RUNS, 9e5, 200, near=0.01), unit=unit)
    lines = text(found).splitlines()
    assert lines[0].startswith(f"With 900k {unit}" + (" per video and" if unit == "FLOPs" else " and"))
    assert all(line.removesuffix(" per video").endswith(f" {unit}") for line in lines if ", at " in line)


@pytest.mark.parametrize(
    ("r2", "said"), [(0.82, []), (0.36, ["Poor fit: the law of avg explains R² 0.36"]), (-5, ["-5.00"])]
)
def test_a_law_that_explains_little_is_said_with_every_answer(r2, said, tmp_path):
    results = made(tmp_path)
    assert results.caveats("avg") == []  # before the laws
    folder = results.laws_folder("avg").root
    folder.mkdir(parents=True)
    rows = {
        "target": ["avg"] * 3,
        "mse": [1.0] * 3,
        "e_pct": [1.0] * 3,
        "form": ["mult", "add", "add"],
        "setup": ["cv", "cv", "train"],
        "r2": [0.1, r2, 1],
        "chosen": [False, True, True],
    }
    pd.DataFrame(rows).to_csv(folder / "forms.csv", index=False)
    results._laws["avg"] = TargetLaws("avg", {}, "add", {}, None)  # whose bags nobody asks for
    found = results.caveats("avg")
    assert [part in sentence for part, sentence in zip(said, found, strict=True)] == [True] * len(said)
