"""The recommendation as a file for programs, `recommendation.yaml`: what to deploy, its checkpoint, cost and error."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vlmfrontier.frontier.answers import Answer, Choice
from vlmfrontier.frontier.measured import Tested
from vlmfrontier.frontier.sentences import asked, per_video
from vlmfrontier.report.caveats import caveats
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.units import name_of

MOST = 12
"""So many questions, budgets times numbers of examples, are answered one by one; of more only that of the report."""
KINDS = {"N": "model", "M": "vision_model"}
"""Keys of the names that values of these factors have."""
_STYLE: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120, "default_flow_style": None}
HEAD = """\
# What the study {study} recommends: the configuration with the least predicted error of {target} within a budget.
# The first recommendation is the report's. For other questions: vlmfrontier query --json
"""


def write_recommendation(report: StudyReport) -> Path | None:
    """Write `recommendation.yaml` and return its path; of a study without a cost there is none.

    Before there is a frontier it holds no recommendation, and why.
    """
    path = report.results.recommendation_yaml
    if report.results.cost is None:
        path.unlink(missing_ok=True)
        return None
    content: dict[str, Any] = {"study": report.study.study, "target": report.main}
    if report.has_frontier:
        content |= {"error_scale": _scale(report), "budget_unit": per_video(report.answer.unit)}
        content["recommendations"] = [_record(report.results, one) for one in (report.answer, *_others(report))]
    else:
        content |= {"recommendations": [], "caveats": caveats(report)}
    head = HEAD.format(study=report.study.study, target=report.main)
    path.write_text(head + yaml.safe_dump(content, **_STYLE), encoding="utf-8")
    report.results.note(path)
    return path


def _scale(report: StudyReport) -> str:
    largest = report.answer.largest
    return "lower is better" if largest is None else f"on 0–{largest:g}, lower is better"


def _others(report: StudyReport) -> list[Answer]:
    """Return the answers to every budget and number of examples that the study names, where these are a few."""
    results, own = report.results, report.answer
    budgets = results.config.given_budgets
    if budgets is None:
        return []
    asked_for = list(product(budgets, [None] if results.examples is None else results.examples))
    others = [(float(c), n if n is None else float(n)) for c, n in asked_for if (c, n) != (own.budget, own.examples)]
    return [results.answer(report.main, c, n) for c, n in others] if len(asked_for) <= MOST else []


def _record(results: Results, answer: Answer) -> dict[str, Any]:
    choice = answer.choice
    names = {KINDS[factor]: name_of(choice.x[factor], values) for factor, values in answer.names.items()}
    checkpoint, run = _checkpoint(results, answer)
    return {
        "question": asked(answer),
        "budget": _number(answer.budget),
        "n": None if answer.examples is None else _number(answer.examples),
        **names,
        **{factor: _number(value) for factor, value in choice.x.items()},
        "cost": _number(choice.cost),
        "checkpoint": checkpoint,
        "run": run,
        "error": {
            "predicted": _number(choice.f),
            "law_90": _ends(choice.f_lo, choice.f_hi),
            "new_run_90": _ends(choice.run_lo, choice.run_hi),
        },
        "agreement": _agreement(choice, answer),
        "measured": _tested(answer.itself),
        "best_measured_within_budget": _tested(answer.best_measured),
        "notes": list(answer.measured),
        "caveats": list(answer.warnings),
    }


def _agreement(choice: Choice, answer: Answer) -> dict[str, Any]:
    return {
        "resampled_fits": answer.fits,
        "rank_it_first": _number(choice.p_best),
        "find_it_near_their_best": _number(choice.p_near),
        "near_is_within_fraction": _number(choice.near),
    }


def _tested(found: Tested | None) -> dict[str, Any] | None:
    if found is None:
        return None
    x: Mapping[str, Any] = {factor: _number(value) for factor, value in found.x.items()}
    trained = {"trained_at": found.trained} if found.trained else {}
    cost = None if found.cost is None else _number(found.cost)
    return {**x, "cost": cost, "error": _number(found.error), "runs": found.count, "run": found.run, **trained}


def _checkpoint(results: Results, answer: Answer) -> tuple[str | None, str | None]:
    """Return the folder of weights of the recommended configuration, beside the file, and its run; None where not."""
    run = None if answer.itself is None or answer.itself.trained else answer.itself.run
    if run is None:
        return None, None
    folder = results.run(run)
    return (folder.model.relative_to(results.root).as_posix() if folder.has_weights else None), run


def _ends(low: float, high: float) -> list[float | int]:
    return [_number(low), _number(high)]


def _number(value: float) -> float | int:
    """Return a number with ten digits, as every table has, whole ones as such."""
    rounded = float(f"{value:.10g}")
    return int(rounded) if np.isfinite(rounded) and rounded == int(rounded) else rounded
