"""What the explorer's page is given: the space, the models and the runs of a study, as plain data for JSON.

The page evaluates the very models that the frontier was searched with, so that it answers any budget and n, and gives
at those of `frontier/<target>.csv` what stands there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmfrontier.cost.flops import CountedCost
from vlmfrontier.figures import CATEGORIES, SEQUENCE
from vlmfrontier.frontier.answers import ALTERNATIVES
from vlmfrontier.frontier.caveats import at_end, extrapolated, patterns, sentence
from vlmfrontier.frontier.measured import NEAREST_RUNS
from vlmfrontier.frontier.pool import NOISE_SCORES, TAILS
from vlmfrontier.frontier.search import DISTINCT, LEAST_RIVALS, REGRET_QUANTILE, STAKES, TIE, frontier_table
from vlmfrontier.frontier.sentences import per_video
from vlmfrontier.frontier.space import RunRange, SearchSpace, named_levels
from vlmfrontier.report.explorer_cost import cost_rule
from vlmfrontier.report.explorer_laws import laws_data
from vlmfrontier.results import Results
from vlmfrontier.units import format_count

REACH = (0.5, 5.0)
"""The page answers for n from this multiple of the runs' smallest to this multiple of their largest."""
BEYOND = 2.0
"""The page answers for budgets up to this multiple of the study's largest."""
POINTS = 60
"""Points of a curve along one factor, for a study without a cost."""
MOST_LEVELS = 12
"""Data sizes of the runs that become steps of their own; more are no levels but measurements."""


def explorer_data(results: Results) -> dict[str, Any]:
    """Return everything that the page shows. Raises `UserError` if the laws have not been fitted yet."""
    study, table = results.study, results.table
    space = None if results.cost is None else results.space
    return {
        "study": study.study,
        "about": list(results.record.about),
        "colours": {"categories": CATEGORIES, "sizes": SEQUENCE},
        "rules": _rules(results),
        "factors": [_factor(results, name, space) for name in table.factors],
        "hasData": table.has_data,
        "examples": _examples(results) if table.has_data else None,
        "unit": None if space is None else space.unit,
        "budgetUnit": None if space is None else per_video(space.unit),
        "space": None if space is None else _space(space, results.cost),
        "cost": None if space is None else cost_rule(results.cost, list(table.factors)),
        "budgets": None if space is None else _budgets(results, space),
        "first": None if space is None else _first(results, space),
        "warnings": _warnings(results, space),
        "caveats": patterns(len(table)),
        "targets": {name: _target(results, name) for name in study.targets()},
        "main": results.main_target,
        "runs": _run_records(results),
    }


def _rules(results: Results) -> dict[str, Any]:
    """Return the constants by which the frontier room decides, so that the page decides alike."""
    return {
        "tie": TIE,
        "tails": TAILS,
        "distinct": DISTINCT,
        "regretQuantile": REGRET_QUANTILE,
        "near": results.config.near,
        "stakes": STAKES,
        "leastRivals": LEAST_RIVALS,
        "alternatives": ALTERNATIVES,
        "nearestRuns": NEAREST_RUNS,
        "noiseScores": NOISE_SCORES.tolist(),
    }


def _factor(results: Results, name: str, space: SearchSpace | None) -> dict[str, Any]:
    runs = np.unique(results.table.factors[name])
    variable = results.record.factors[name]
    names = {value: key for key, value in named_levels(results.study.models).get(name, {}).items()}
    return {
        "name": name,
        "label": variable.label(name),
        "unit": variable.counts or "",
        "center": results.center[name],
        "runs": runs.tolist(),
        "levels": None if space is None else space.levels(name).tolist(),
        "texts": None if space is None else [format_count(value) for value in space.levels(name)],
        "curve": np.geomspace(runs[0], runs[-1], POINTS).tolist() if len(runs) > 1 else runs.tolist(),
        "names": None if space is None or not names else [names.get(value) for value in space.levels(name)],
    }


def _space(space: SearchSpace, cost: object) -> dict[str, Any]:
    levels, index = [], []
    for values in space.factors.values():
        unique, places = np.unique(values, return_inverse=True)
        levels.append(unique.tolist())
        index.append(places.reshape(-1).tolist())
    return {"levels": levels, "index": index, "cost": space.cost.tolist(), "parts": _cost_parts(space, cost)}


def _cost_parts(space: SearchSpace, cost: object) -> dict[str, list[float]] | None:
    """Return what each part of the model costs, in shares of c(x); None for a cost that has no parts."""
    if isinstance(cost, CountedCost):
        parts = cost.parts(space.factors)
        return {name: (values / space.cost).tolist() for name, values in parts.items()}
    if not hasattr(cost, "vision_share"):
        return None
    vision = np.broadcast_to(cost.vision_share(space.factors), len(space))
    return {"vision": vision.tolist(), "language": (1 - vision).tolist()}


def _budgets(results: Results, space: SearchSpace) -> dict[str, float]:
    """Return the ends of the slider and where it starts: at the study's middle budget."""
    budgets = results.budgets
    low = max(float(budgets[0]), float(space.cost[0]))
    high = max(float(budgets[-1]), min(BEYOND * float(budgets[-1]), float(space.cost[-1])))
    return {"low": low, "high": high, "start": results.middle_budget, "asked": [low, float(budgets[-1])]}


def _first(results: Results, space: SearchSpace) -> dict[str, Any]:
    """Return the answer to the question with which the page opens, so that it is there before the page computes any."""
    name, budget = results.main_target, results.middle_budget
    n = float(_examples(results)["start"]) if results.table.has_data else None
    found = results.answer(name, budget, n)
    sizes = None if n is None else np.array([n])
    row = frontier_table(results.target(name), np.array([budget]), sizes, results.config.near).iloc[0]
    x = found.choice.x
    same = np.all([values == x[factor] for factor, values in space.factors.items()], axis=0)
    return {
        "chosen": {
            "index": int(np.flatnonzero(same)[0]),
            "x": list(x.values()),
            "cost": found.choice.cost,
            "f": found.choice.f,
            "low": found.choice.f_lo,
            "high": found.choice.f_hi,
            "runLow": found.choice.run_lo,
            "runHigh": found.choice.run_hi,
            "pBest": found.choice.p_best,
            "pNear": found.choice.p_near,
            "near": found.choice.near,
            "regret": found.choice.regret_p90,
        },
        "ranges": [[float(row[f"{factor}_{end}"]) for end in ("lo", "hi")] for factor in x],
        "measured": list(found.measured),
        "warnings": list(found.warnings),
    }


def _examples(results: Results) -> dict[str, Any]:
    """Return the numbers of examples that the page answers for, those of the study among them."""
    runs, study = np.unique(results.table.data), results.examples
    own = np.concatenate([study, runs if len(runs) <= MOST_LEVELS else runs[[0, -1]]])
    steps = round_numbers(REACH[0] * runs[0], REACH[1] * runs[-1])
    steps = np.unique(np.concatenate([steps, own]))
    return {
        "steps": steps.tolist(),
        "texts": [format_count(step) for step in steps],
        "label": results.record.data.label("n"),
        "unit": results.record.data.counts or "",
        "word": results.record.data.counts or "data",
        "study": study.tolist() if len(study) <= MOST_LEVELS else study[[0, -1]].tolist(),
        # Without a cost there is no question of a deployment, and the middle of the data is the better place to start.
        "start": float(study[-1]) if results.cost is not None else float(nearest(steps, np.median(results.table.data))),
        "runs": [float(runs[0]), float(runs[-1])],
    }


def nearest(steps: np.ndarray, value: float) -> float:
    """Return the step nearest to a value, in logs."""
    return steps[np.argmin(np.abs(np.log(steps / value)))]


def round_numbers(low: float, high: float) -> np.ndarray:
    """Return the numbers of two significant digits from `low` to `high`."""
    decades = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    numbers = np.array([float(f"{digits}e{power - 1}") for power in decades for digits in range(10, 100)])
    return numbers[(numbers >= low) & (numbers <= high)]


def _warnings(results: Results, space: SearchSpace | None) -> dict[str, Any]:
    """Return the frontier room's sentence for every level, and every step of n, that lies outside the runs, and for
    every level at an end of the space."""
    runs = results.range
    inside = {name: low for name, (low, _) in runs.factors.items()}
    least = None if runs.examples is None else runs.examples[0]
    factors = {} if space is None else {name: space.levels(name) for name in runs.factors}
    return {
        "factors": [
            [_sentence(runs, {**inside, name: value}, least) for value in levels] for name, levels in factors.items()
        ],
        "edges": [_edges(space, name, levels) for name, levels in factors.items()],
        "n": [] if least is None else [_sentence(runs, inside, n) for n in _examples(results)["steps"]],
    }


def _edges(space: SearchSpace, name: str, levels: np.ndarray) -> list[str | None]:
    ends = levels[[0, -1]] if len(levels) > 1 else ()
    return [sentence(at_end(space, name, value)) if value in ends else None for value in levels]


def _sentence(runs: RunRange, x: Mapping[str, float], examples: float | None) -> str | None:
    said = extrapolated(runs, x, examples)
    return sentence(said[0]) if said else None


def _target(results: Results, name: str) -> dict[str, Any]:
    laws = results.laws(name)
    # Which groups of models there are does not depend on where they predict: one configuration is enough to see them.
    ensemble = laws.ensemble({factor: np.array([level]) for factor, level in results.center.items()})
    return {
        "label": results.record.error_label(name),
        "name": results.record.error_name(name),
        "rangeName": ensemble.range_name,
        "largest": results.largest_error(name),
        "caveats": results.caveats(name),
        "fits": len(ensemble.pool),
        "laws": laws_data(laws, ensemble),
    }


def _run_records(results: Results) -> dict[str, Any]:
    """Return the runs in columns: names, factors, n, cost, errors by target with standard errors, notes.

    `trained` says at which other levels than those of the test a model was trained; null where all were trained there.
    `notes` has a list of label and text for each run.
    """
    table = results.table
    costs = None if results.cost is None else results.run_costs
    return {
        "count": len(table),
        "names": table.names,
        "factors": [values.tolist() for values in table.factors.values()],
        "n": None if table.data is None else table.data.tolist(),
        "cost": None if costs is None else _or_none(costs),
        "errors": {name: _or_none(values) for name, values in table.targets.items()},
        "se": {name: None if se is None else _or_none(se) for name, se in table.se.items()},
        "trained": results.runs["trained"].tolist() if "trained" in results.runs else None,
        "notes": [_notes(results, row) for row in range(len(table))],
    }


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return the numbers for JSON, which has no word for one that is not known but null."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _notes(results: Results, row: int) -> list[list[str]]:
    """Return what else is known of a run: its sweep and seed, how long it took here and on what."""
    frame = results.table.frame
    notes = [[name, str(frame[name].iloc[row])] for name in ("sweep", "seed") if name in frame]
    result = results.result(results.table.names[row])
    seconds = result.get("seconds", {})
    if {"finetune", "evaluate"} <= set(seconds):
        notes.append(["seconds", f"{seconds['finetune']:.0f} finetuning, {seconds['evaluate']:.0f} evaluation"])
    if "provenance" in result:
        notes.append(["device", str(result["provenance"].get("device"))])
    if result.get("decode_failures"):
        notes.append(["broken videos", str(result["decode_failures"])])
    return notes
