"""The name of a run, which is the name of its folder: `N7.5B_T32_V196_n250k_s0`."""

from vlmfrontier.units import format_count, format_number


def run_key(N: float, T: int, V: int, n: int, seed: int, M: float | None = None) -> str:
    """Return the key of a run: N and M (parameters) and n (examples) with three significant digits, the others exactly.

    `N7.5B_T32_V196_M413M_n250k_s0`; without M where the study has one vision model.
    """
    vision = "" if M is None else f"_M{format_count(M)}"
    return f"N{format_count(N)}_T{T}_V{V}{vision}_n{format_number(n)}_s{seed}"
