"""How the kernels are compiled: cached on disk where possible, without the interpreter's lock, exact about NaN."""

from collections.abc import Callable

from numba import njit

# Sums may be reordered, which is what vectorises them. NaN and ∞ keep their meaning (plain `fastmath=True` drops it).
_ARITHMETIC = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable | None = None, *, inline: bool = False) -> Callable:
    """Return `function` as machine code that threads run in parallel.

    The first call compiles (some seconds); the code is then kept beside the package, or in the user's cache folder if
    the package is installed read-only. Where neither can be written, every process compiles anew.
    """
    if function is None:
        return lambda later: compiled(later, inline=inline)
    options = {
        "nogil": True,
        "fastmath": _ARITHMETIC,
        "inline": "always" if inline else "never",
        "error_model": "numpy",
    }
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba: no folder for the cache
        return njit(**options)(function)
