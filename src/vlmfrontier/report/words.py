"""Factors, configurations and answers in words, in human units."""

from collections.abc import Mapping

from vlmfrontier.frontier.answers import Answer, impossible, per_video
from vlmfrontier.units import format_count, format_error, format_number, format_range, format_share


def amount(factor: str, value: float) -> str:
    """Return a value of a factor: `7.5B`, `16`."""
    return format_count(value)


def configuration(x: Mapping[str, float]) -> str:
    """Return a configuration: `N = 7.5B, T = 16, V = 49`."""
    return ", ".join(f"{name} = {amount(name, value)}" for name, value in x.items())


def question(budget: float, unit: str, examples: float | None) -> str:
    """Return the question that an answer is for: `100M FLOPs per video and 500 examples`."""
    data = "" if examples is None else f" and {format_count(examples)} examples"
    return f"{format_number(budget)} {per_video(unit)}{data}"


def two_lines(answer: Answer) -> tuple[str, str]:
    """Return a recommendation in two lines: what to deploy with its error, and how sure that is."""
    choice = answer.choice
    deploy = (
        f"With {question(answer.budget, answer.unit, answer.examples)}, deploy {configuration(choice.x)}: "
        f"{answer.target} error {format_error(choice.f, answer.largest)} "
        f"({answer.range_name} {format_range(choice.f_lo, choice.f_hi, answer.largest)})"
    )
    values = {**choice.x, "n": answer.examples}
    outside = [name for name in (warning.split(" = ")[0] for warning in answer.warnings) if name in values]
    beyond = ", ".join(f"{name} = {amount(name, values[name])}" for name in outside)
    doubt = f"; beyond the runs: {beyond}" if beyond else ""
    doubt += "".join(f"; {sentence}" for sentence in impossible(choice, answer.largest))
    return deploy, f"{sureness(choice.p_near, choice.p_best, answer.near)}{doubt}"


def sureness(p_near: float, p_best: float, near: float) -> str:
    """Return how many models agree: `96% of the models have nothing better by more than 0.5% of the error; …`."""
    return (
        f"{format_share(p_near)} of the models have nothing better by more than {near:.1%} of the error; "
        f"for {format_share(p_best)} it is the optimum"
    )
