"""An answer as a few lines of text, in human units."""

from collections.abc import Mapping

from vlmfrontier.frontier.answers import Answer, Choice
from vlmfrontier.study.units import (
    format_count,
    format_difference,
    format_error,
    format_number,
    format_range,
    format_share,
)

_UNITS = {"N": "parameters", "M": "vision parameters", "T": "frames", "V": "tokens per frame"}


def text(answer: Answer) -> str:
    """Return the answer as lines: what to deploy, how sure that is, what comes close, and what more would buy."""
    choice = answer.choice
    sure = f"for {format_share(choice.p_best)} it is the optimum; 90% lose at most {_points(choice.regret_p90)} points"
    lines = [
        f"{_question(answer)}:",
        f"  {_configuration(choice.x)}, at {format_number(choice.cost)} {answer.unit}",
        f"  predicted error {format_error(choice.f, answer.largest)} "
        f"({answer.range_name} {format_range(choice.f_lo, choice.f_hi, answer.largest)})",
        f"  {format_share(choice.p_near)} of the models have nothing better by more than {answer.near:.1%} of the "
        f"error; {sure}",
    ]
    lines += [f"  alternative: {_alternative(other, answer)}" for other in answer.alternatives]
    lines.append(f"  twice the budget: {_alternative(answer.double_budget, answer)}")
    if answer.double_examples is not None:
        lines.append(f"  twice the examples: {_alternative(answer.double_examples, answer)}")
    lines += [f"  nearest run: {_run(run, answer.target)}" for run in answer.nearest]
    lines += [f"  warning: {warning}" for warning in answer.warnings]
    return "\n".join(lines)


def _question(answer: Answer) -> str:
    budget = f"{format_number(answer.budget)} {per_video(answer.unit)}"
    data = "" if answer.examples is None else f" and {format_count(answer.examples)} finetuning examples"
    return f"With {budget}{data}, for the least error of {answer.target}, deploy"


def per_video(unit: str) -> str:
    """Return what a budget counts: FLOPs are those of one video; another unit is the user's own."""
    return f"{unit} per video" if unit == "FLOPs" else unit


def _configuration(x: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {format_count(value)} {_UNITS.get(name, '')}".rstrip() for name, value in x.items())


def _points(value: float) -> str:
    return f"{value:.2g}" if value > 1e-9 else "0"


def _alternative(other: Choice, answer: Answer) -> str:
    return f"{_configuration(other.x)}: {compared(other, answer)}, at {format_number(other.cost)} {answer.unit}"


def compared(other: Choice, answer: Answer) -> str:
    """Return a prediction with its difference from the recommended one's: `33.45 (+0.79)`."""
    said = format_error(other.f, answer.largest)
    if answer.largest is not None and max(other.f, answer.choice.f) > answer.largest:
        return said
    return f"{said} ({format_difference(other.f - answer.choice.f, answer.choice.f)})"


def _run(run: Mapping[str, object], target: str) -> str:
    x = ", ".join(
        f"{name} = {format_count(float(value))}" for name, value in run.items() if name not in ("run", target)
    )
    return f"{run.get('run', x)}: measured {format_error(run[target])}"
