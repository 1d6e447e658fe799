"""An answer as a few lines of text, in human units."""

from collections.abc import Mapping

from vlmfrontier.frontier.answers import Answer, Choice
from vlmfrontier.study.units import format_count, format_difference, format_error, format_number

_UNITS = {"N": "parameters", "M": "vision parameters", "T": "frames", "V": "tokens per frame"}


def text(answer: Answer) -> str:
    """Return the answer as lines: what to deploy, how sure that is, what comes close, and what more would buy."""
    choice = answer.choice
    lines = [
        f"{_question(answer)}:",
        f"  {_configuration(choice.x)}, at {format_number(choice.cost)} {answer.unit}",
        f"  predicted error {format_error(choice.f)} "
        f"({answer.range_name} {format_error(choice.f_lo)} to {format_error(choice.f_hi)})",
        f"  {choice.p_near:.0%} of the models have nothing better by more than {answer.near:.1%} of the error; "
        f"for {choice.p_best:.0%} it is the optimum; 90% lose at most {choice.regret_p90:.2g} points",
    ]
    lines += [f"  alternative: {_alternative(other, choice)}" for other in answer.alternatives]
    lines.append(f"  twice the budget: {_alternative(answer.double_budget, choice)}")
    if answer.double_examples is not None:
        lines.append(f"  twice the examples: {_alternative(answer.double_examples, choice)}")
    lines += [f"  nearest run: {_run(run, answer.target)}" for run in answer.nearest]
    lines += [f"  warning: {warning}" for warning in answer.warnings]
    return "\n".join(lines)


def _question(answer: Answer) -> str:
    budget = f"{format_number(answer.budget)} {answer.unit} per video"
    data = "" if answer.examples is None else f" and {format_count(answer.examples)} finetuning examples"
    return f"With {budget}{data}, for the least error of {answer.target}, deploy"


def _configuration(x: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {format_count(value)} {_UNITS.get(name, '')}".rstrip() for name, value in x.items())


def _alternative(other: Choice, choice: Choice) -> str:
    return f"{_configuration(other.x)}: {compared(other, choice)}, at {format_number(other.cost)}"


def compared(other: Choice, choice: Choice) -> str:
    """Return a prediction with its difference from the recommended one's: `33.45 (+0.79)`."""
    return f"{format_error(other.f)} ({format_difference(other.f - choice.f, choice.f)})"


def _run(run: Mapping[str, object], target: str) -> str:
    x = ", ".join(
        f"{name} = {format_count(float(value))}" for name, value in run.items() if name not in ("run", target)
    )
    return f"{run.get('run', x)}: measured {format_error(run[target])}"
