"""How the kernels are compiled: cached on disk where possible, without the interpreter's lock, exact about NaN."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from numba import njit

# No fastmath: sums that may be reordered come out otherwise where code was compiled anew than where it was read from
# the cache, and an ill-determined law then ends elsewhere. It would save a tenth of the time.
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_SOURCES = ("compiled.py", "kernel.py", "matrix.py", "batch.py")


def compiled(function: Callable) -> Callable:
    """Return `function` as machine code that threads run in parallel.

    The first call compiles (some seconds); the code is then kept beside the package, or in the user's cache folder if
    the package is installed read-only. Where neither can be written, every process compiles anew.
    """
    try:
        dispatcher = njit(cache=True, **_OPTIONS)(function)
        # numba calls a function's cached code stale when its own file changes; it also holds code of the other files.
        dispatcher._cache._cache_file._source_stamp = _DIGEST
    except (RuntimeError, AttributeError):  # no folder for the cache, or a numba that keeps it otherwise
        return njit(**_OPTIONS)(function)
    return dispatcher


def _digest() -> str:
    """Return a hash of all kernel sources."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _SOURCES)).hexdigest()


_DIGEST = _digest()
