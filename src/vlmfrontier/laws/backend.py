"""Which engine fits: the compiled kernel, or scipy as the slow reference."""

from vlmfrontier.laws import engine
from vlmfrontier.laws.engine import Solution
from vlmfrontier.laws.problem import Problem


def solve(problem: Problem, warm=None, threads: int | None = None) -> Solution:
    """Return the best fit of every row of `problem` by its configured backend; see `engine.solve`."""
    if problem.config.backend == "scipy":
        from vlmfrontier.laws import reference  # noqa: PLC0415 — scipy.optimize is heavy, and nobody else needs it

        return reference.solve(problem)
    return engine.solve(problem, warm, threads)
