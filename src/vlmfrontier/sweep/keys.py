"""The name of a run, which is the name of its folder: `N7.5B_T32_V196_n250k_s0`."""

from vlmfrontier.study.units import format_number


def run_key(N: float, T: int, V: int, n: int, seed: int) -> str:
    """Return the key of a run: N (parameters) and n (examples) with three significant digits, T, V and seed exactly."""
    return f"N{format_number(N, billions='B')}_T{T}_V{V}_n{format_number(n)}_s{seed}"
