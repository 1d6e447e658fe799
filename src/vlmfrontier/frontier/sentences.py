"""An answer in sentences, for everyone who says it: `query`, `status`, the report, its captions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.frontier.answers import Answer, Choice
from vlmfrontier.frontier.caveats import above
from vlmfrontier.frontier.checkpoint import Checkpoint
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.units import (
    format_configuration,
    format_count,
    format_difference,
    format_error,
    format_number,
    format_range,
    format_share,
)


def text(answer: Answer) -> str:
    """Return the answer as lines: question, what to deploy, how sure that is, what comes close, what more would buy."""
    choice, n = answer.choice, answer.counts.get("n", "data")
    lines = [asked(answer), *(f"  {line}" for line in headline(answer))]
    lines[3] += f"; 90% of them lose at most {_points(choice.regret_p90)} points by it"
    lines += [f"  measured: {sentence}" for sentence in answer.measured]
    lines += [f"  caveat: {sentence}" for sentence in answer.warnings]
    lines += [f"  next best: {_alternative(other, answer)}" for other in answer.alternatives]
    lines.append(f"  twice the budget: {_alternative(answer.double_budget, answer)}")
    if answer.double_examples is not None:
        lines.append(f"  twice the {n}: {_alternative(answer.double_examples, answer)}")
    lines += [f"  nearest run: {_run(run, answer.target)}" for run in answer.nearest]
    return "\n".join(lines)


def asked(answer: Answer) -> str:
    """Return the question: `With 160M FLOPs per video and 800 finetuning examples, which LM size N, … give the least
    error of avg (the mean over 8 tasks, 0–100)?`."""
    factors = [answer.labels.get(name, name) for name in answer.choice.x]
    given = question(answer.budget, answer.unit, answer.examples, answer.counts)
    error = answer.target if answer.largest is None else f"error of {answer.target}"
    meaning = f" ({answer.meaning})" if answer.meaning else ""
    verb = "gives" if len(factors) == 1 else "give"
    return f"With {given}, which {listed(factors)} {verb} the least {error}{meaning}?"


def headline(answer: Answer) -> tuple[str, str, str]:
    """Return what to deploy at what cost, its predicted error, and how far the resampled fits agree, a line each."""
    choice = answer.choice
    kind = "error" if answer.largest is not None else answer.target
    return (
        f"Deploy {configuration(choice.x, answer)}, at {format_number(choice.cost)} {per_video(answer.unit)}",
        f"predicted {kind} {format_error(choice.f, answer.largest)} ({ranges(choice, answer)})",
        agreement(choice, answer),
    )


def two_lines(answer: Answer) -> tuple[str, str]:
    """Return a recommendation in two lines: what to deploy with its error, and how sure that is."""
    choice = answer.choice
    given = question(answer.budget, answer.unit, answer.examples, answer.counts)
    error = answer.target if answer.largest is None else f"{answer.target} error"
    deploy = (
        f"With {given}, deploy {configuration(choice.x, answer)}: "
        f"{error} {format_error(choice.f, answer.largest)} ({ranges(choice, answer)})"
    )
    values = {**choice.x, "n": answer.examples}
    beyond = ", ".join(f"{name} = {format_count(values[name])}" for name in answer.extrapolates)
    caveat = f"; beyond the runs: {beyond}" if beyond else ""
    caveat += "".join(f"; {sentence}" for sentence in above(choice.f, choice.f_hi, answer.largest))
    return deploy, f"{agreement(choice, answer)}{caveat}"


def question(budget: float, unit: str, examples: float | None, counts: Mapping[str, str] | None = None) -> str:
    """Return what an answer is for: `100M FLOPs per video and 500 finetuning examples`."""
    counted = (counts or {}).get("n")
    n = None if examples is None else format_count(examples)
    data = "" if n is None else f" and {n} {counted}" if counted else f" and n = {n}"
    return f"{format_number(budget)} {per_video(unit)}{data}"


def configuration(x: Mapping[str, float], answer: Answer) -> str:
    """Return a configuration with units and names: `N = 195k parameters (language model l), T = 6 frames, …`."""
    kinds = {"N": "language model", "M": "vision model"}
    names = {
        factor: {f"{kinds.get(factor, '')} {name}".strip(): value for name, value in values.items()}
        for factor, values in answer.names.items()
    }
    return format_configuration(x, answer.counts, names)


def listed(names: list[str]) -> str:
    """Return names in a sentence: `N, T and V`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def per_video(unit: str) -> str:
    """Return what a budget counts: FLOPs are those of one video; another unit is the user's own."""
    return f"{unit} per video" if unit == "FLOPs" else unit


def agreement(choice: Choice, answer: Answer) -> str:
    """Return how many fits agree: `50% of 200 resampled fits rank it first; for 70% it is within 0.5% of their …`."""
    near = f"for {format_share(choice.p_near)} it is within {format_near(choice.near)} of their best"
    return f"{format_share(choice.p_best)} of {answer.fits} resampled fits rank it first; {near}"


def format_near(fraction: float) -> str:
    """Return the fraction of the error that is near enough, in per cent: `0.5%`, `0.12%`."""
    return f"{100 * fraction:.2g}%"


def ranges(choice: Choice, answer: Answer) -> str:
    """Return both ranges by name: `90% interval of the law 30.10 to 35.22; a new run would measure 29.50 to 36.04`."""
    law = f"{answer.range_name} of the law {format_range(choice.f_lo, choice.f_hi, answer.largest)}"
    return f"{law}; a new run would measure {format_range(choice.run_lo, choice.run_hi, answer.largest)}"


def _points(value: float) -> str:
    return f"{value:.2g}" if value > 1e-9 else "0"


def _alternative(other: Choice, answer: Answer) -> str:
    cost = f"{format_number(other.cost)} {answer.unit}"
    return f"{format_configuration(other.x, answer.counts, answer.names)}: {compared(other, answer)}, at {cost}"


def compared(other: Choice, answer: Answer) -> str:
    """Return a prediction with its difference from the recommended one's: `33.45 (+0.79)`."""
    said = format_error(other.f, answer.largest)
    if answer.largest is not None and max(other.f, answer.choice.f) >= answer.largest:
        return said
    return f"{said} ({format_difference(other.f - answer.choice.f, answer.choice.f)})"


def _run(run: Mapping[str, object], target: str) -> str:
    x = format_configuration({name: float(value) for name, value in run.items() if name not in ("run", target)})
    return f"{run.get('run', x)}: measured {format_error(run[target])}"


def spread(ranges: Mapping[str, tuple[float, float]]) -> str:
    """Return what the fits choose: `90% of the fits choose N 83.3k–195k, T 6, V 16–25`."""
    ends = {name: [format_count(end) for end in pair] for name, pair in ranges.items()}
    levels = [f"{name} {low if low == high else f'{low}–{high}'}" for name, (low, high) in ends.items()]
    return f"90% of the fits choose {', '.join(levels)}"


def checkpoint_text(one: Checkpoint, table: pd.DataFrame, target: Target, budgets: np.ndarray) -> str:
    """Return the answer for one model as lines: what it is, then the best of its tests within each budget."""
    unit = target.space.unit
    where = f"tested at {len(one.error)} pairs of {' and '.join(one.levels)}"
    lines = [f"Run {one.run} ({one.says}), {where}; error of {target.name}:"]
    for budget in budgets:
        rows = table[np.isclose(table.c, budget)].to_dict("records")
        lines.append(f"  within {format_number(budget)} {per_video(unit)}:{'' if rows else ' ' + _too_dear(one, unit)}")
        lines += [f"    {line}" for row in rows for line in _in_words(row, list(one.levels), target)]
    return "\n".join(lines)


def _too_dear(one: Checkpoint, unit: str) -> str:
    return f"nothing; its cheapest test, {format_configuration(one.at(0))}, costs {format_number(one.cost[0])} {unit}"


def _in_words(row: dict[str, Any], levels: Sequence[str], target: Target) -> Iterator[str]:
    """Yield the best test of a budget, what retraining there would gain, and what the law would train instead."""
    at = format_configuration({name: row[name] for name in levels})
    cost = f"{format_number(row['cost'])} {target.space.unit}"
    yield f"{at}: measured {tested_error(row)} at {cost}; {_next_best(row, levels)}"
    yield f"retrained at these levels: {gain(row)}"
    if not np.isnan(row["f"]):
        there = format_configuration({name: row[f"law_{name}"] for name in levels})
        said = f"{predicted(row, target.ensemble.range_name)}{beyond(row)}"
        how = "of models as tested" if np.isnan(row["gain"]) else "to retrain at"
        yield f"the law's best levels {how}: {there}: predicted {said}"


def tested_error(row: dict[str, Any]) -> str:
    """Return a measured error: `41.20 ± 1.10`."""
    return format_error(row["error"]) + ("" if np.isnan(row["se"]) else f" ± {format_error(row['se'])}")


def predicted(row: dict[str, Any], range_name: str) -> str:
    """Return what the law says of the retrained model: `40.10 (90% interval 39.02 to 41.20)`."""
    return f"{format_error(row['f'])} ({range_name} {format_range(row['f_lo'], row['f_hi'])})"


def beyond(row: dict[str, Any]) -> str:
    """Return a caveat where the law's levels lie outside the runs: `; beyond the runs: T`."""
    return "" if row["beyond"] == INSIDE else f"; beyond the runs: {row['beyond']}"


def _next_best(row: dict[str, Any], levels: Sequence[str]) -> str:
    if np.isnan(row["second_error"]):
        return "the only test within the budget"
    at = format_configuration({name: row[f"second_{name}"] for name in levels})
    noise = "" if np.isnan(row["se"]) else ", within noise" if row["alike"] else ", beyond noise"
    return f"next best {at}: {format_difference(row['second_error'] - row['error'], row['error'])}{noise}"


def gain(row: dict[str, Any]) -> str:
    """Return what retraining at the tested levels would change: `−0.62 (90% interval −1.20 to −0.10)`."""
    if np.isnan(row["gain"]):
        return "not known; no configuration was trained as well as tested"
    ends = [row[name] for name in ("gain", "gain_lo", "gain_hi")]
    if not np.any(ends):
        return "no change; it was trained there"
    middle, low, high = (format_difference(-end, row["error"]) for end in ends)
    return f"{middle} (90% interval {high} to {low})"
