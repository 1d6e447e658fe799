"""What happens in one digit video: which digits, where, when, and the path of the green square.

A frame is 5×5 named cells of 12.8 pixels. Two white and one to four yellow digits stay for the whole video; two to four
red digits come one after another, and one blue digit comes once, for durations drawn from a power law, so that the
chance to miss an event falls smoothly with the number of frames looked at; a green square moves and leaves late for its
last place.
"""

from dataclasses import dataclass

import numpy as np

FRAME_SIZE = 64  # pixels a side
NUM_FRAMES = 32
FRAMES_PER_SECOND = 8
CELLS_PER_SIDE = 5
CELL_NAMES = tuple(f"{row}{column}" for row in "abcde" for column in "12345")
CELL_EDGES = tuple(round(i * FRAME_SIZE / CELLS_PER_SIDE) for i in range(CELLS_PER_SIDE + 1))
SQUARE_SIZE = 5  # pixels a side of the green square
COLOURS = ("white", "yellow", "red", "blue", "green")


@dataclass(frozen=True)
class Digit:
    """A digit of one colour in one cell, visible in frames `start` ≤ t < `stop`."""

    value: int
    cell: int
    colour: str
    start: int
    stop: int


@dataclass(frozen=True)
class Scene:
    """All that a video shows; `seed` draws what no question asks for (handwriting, size, exact place, background)."""

    digits: tuple[Digit, ...]
    path: tuple[tuple[int, int], ...]
    """Upper-left corners (y, x) of the green square: where it starts, waits and ends."""
    late: int
    """The square leaves its second place this many frames before the end."""
    seed: int

    def of_colour(self, colour: str) -> list[Digit]:
        """Return the digits of `colour` in order of appearance."""
        return sorted((d for d in self.digits if d.colour == colour), key=lambda d: (d.start, d.cell))

    def square_corner(self, frame: int) -> tuple[int, int]:
        """Return the square's upper-left corner (y, x): slow to the second place, then quick to the last."""
        first, second, last = (np.array(p, float) for p in self.path)
        leaves = NUM_FRAMES - self.late
        if frame < leaves:
            corner = first + (second - first) * min(1.0, frame / max(1, leaves - 1))
        else:
            corner = second + (last - second) * min(1.0, (frame - leaves + 1) / max(1.0, self.late / 3))
        return round(float(corner[0])), round(float(corner[1]))

    def square_cell(self, frame: int) -> int:
        """Return the cell under the centre of the green square in `frame`."""
        y, x = self.square_corner(frame)
        return cell_at(y + SQUARE_SIZE / 2, x + SQUARE_SIZE / 2)


def cell_at(y: float, x: float) -> int:
    """Return the index of the cell that holds the pixel position (y, x)."""
    row, column = (min(CELLS_PER_SIDE - 1, int(p * CELLS_PER_SIDE / FRAME_SIZE)) for p in (y, x))
    return row * CELLS_PER_SIDE + column


def _duration(rng: np.random.Generator, power: float, longest: int) -> int:
    """Draw a duration d in 1…`longest` frames with P(d ≤ x) ∝ x^power: short events are common, long ones exist."""
    return int(np.clip(np.ceil(longest * rng.random() ** (1 / power)), 1, longest))


def _red_intervals(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw two to four disjoint intervals of frames."""
    count = int(rng.integers(2, 5))
    while True:
        durations = [_duration(rng, 0.5, NUM_FRAMES // 2) for _ in range(count)]
        free = NUM_FRAMES - sum(durations)
        if free >= 1:
            break
    gaps = np.diff(np.sort(rng.integers(0, free + 1, count)), prepend=0)
    intervals, time = [], 0
    for gap, duration in zip(gaps, durations, strict=True):
        time += int(gap)
        intervals.append((time, time + duration))
        time += duration
    return intervals


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw one scene."""
    cells = [int(c) for c in rng.permutation(CELLS_PER_SIDE**2)]

    def digits(colour: str, intervals: list[tuple[int, int]]) -> list[Digit]:
        values = rng.permutation(10)
        return [Digit(int(v), cells.pop(), colour, a, b) for v, (a, b) in zip(values, intervals, strict=False)]

    always = (0, NUM_FRAMES)
    white = digits("white", [always] * 2)
    yellow = digits("yellow", [always] * int(rng.integers(1, 5)))
    red = digits("red", _red_intervals(rng))
    length = _duration(rng, 0.6, NUM_FRAMES)
    start = int(rng.integers(0, NUM_FRAMES - length + 1))
    blue = digits("blue", [(start, start + length)])
    path = rng.integers(0, FRAME_SIZE - SQUARE_SIZE + 1, (3, 2))
    return Scene(
        digits=(*white, *yellow, *red, *blue),
        path=tuple((int(y), int(x)) for y, x in path),
        late=_duration(rng, 0.8, 20),
        seed=int(rng.integers(1 << 30)),
    )
