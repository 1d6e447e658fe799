"""What happens in one digit video and what is asked of it: which digits, where, when, and the path of the green square.

A frame is a square of named cells, which `LAYOUT` describes. Two white and one to four yellow digits stay for the
whole video; two to four red digits come one after another, and one blue digit comes once, for durations drawn from a
power law, so that the chance to miss an event falls smoothly with the number of frames looked at; a green square
moves and leaves late for its last place.

The word that decides the answer stands last in a question, so that a small language model reads the answer off that
word. Every question is answered with single words of `VOCABULARY`; a caption is a list of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmfrontier.tasks import DIGITS_TASKS

FRAME_SIZE = 64  # pixels a side
NUM_FRAMES = 32
FRAMES_PER_SECOND = 8
NUM_VALUES = 10


@dataclass(frozen=True)
class Layout:
    """How fine the detail of a frame is, and how much of it starting models have seen."""

    cells_per_side: int
    """Named cells along each side of a frame."""
    glyphs: tuple[int, ...]
    """Sizes of digits, pixels a side; all smaller than a cell."""
    familiar: int = NUM_VALUES
    """Digits below this (four or more) are in the scenes of pretraining; finetuning alone teaches the others."""


LAYOUT = Layout(cells_per_side=5, glyphs=(9, 10, 11, 12))
"""Starting models fit one layout: other cells or values need `snakemake pretrain`."""
CELLS_PER_SIDE = LAYOUT.cells_per_side
CELL_NAMES = tuple(f"{row}{column}" for row in "abcdefgh"[:CELLS_PER_SIDE] for column in range(1, CELLS_PER_SIDE + 1))
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


def sample_scene(rng: np.random.Generator, values: int = NUM_VALUES) -> Scene:
    """Draw one scene with digits below `values`."""
    cells = [int(c) for c in rng.permutation(CELLS_PER_SIDE**2)]

    def digits(colour: str, intervals: list[tuple[int, int]]) -> list[Digit]:
        chosen = rng.permutation(values)
        return [Digit(int(v), cells.pop(), colour, a, b) for v, (a, b) in zip(chosen, intervals, strict=False)]

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


WORDS = ("digit", "at", "sum", "of", "how", "many", "first", "last", "largest", "describe", "end")
SUBJECTS = ("white", "red", "blue", "green")  # what a caption tells of
VOCABULARY = (*WORDS, *SUBJECTS, "yellow", *(str(i) for i in range(2 * NUM_VALUES - 2)), *CELL_NAMES)
DIGIT_WORDS = tuple(str(i) for i in range(NUM_VALUES))
NUM_OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """One question about one video; `options` only for multiple choice, the right one among them."""

    task: str
    question: str
    answer: str
    options: tuple[str, ...] = ()


def _options(rng: np.random.Generator, answer: str, rivals: list[str], pool: tuple[str, ...]) -> tuple[str, ...]:
    """Return four different options in random order: the answer, first the hard rivals, then words of the pool."""
    chosen = list(dict.fromkeys([answer, *rivals]))[:NUM_OPTIONS]
    while len(chosen) < NUM_OPTIONS:
        word = pool[rng.integers(len(pool))]
        if word not in chosen:
            chosen.append(word)
    return tuple(chosen[i] for i in rng.permutation(NUM_OPTIONS))


def _caption(digits: Sequence[Digit], square_cell: int) -> str:
    """Return all facts: white digits with their cells, red digits in order, blue digits, where the square is."""

    def of_colour(colour: str) -> list[Digit]:
        return [d for d in digits if d.colour == colour]

    words = ["white"]
    for digit in sorted(of_colour("white"), key=lambda d: d.cell):
        words += [str(digit.value), CELL_NAMES[digit.cell]]
    words += ["red", *(str(d.value) for d in of_colour("red"))]
    words += ["blue", *(str(d.value) for d in of_colour("blue"))]
    return " ".join([*words, "green", CELL_NAMES[square_cell]])


def _ask_still(still: Sequence[Digit], rng: np.random.Generator) -> dict[str, Question]:
    """Return the questions that one frame answers, by task, from the digits `still` to be asked about."""
    white, yellow = ([d for d in still if d.colour == colour] for colour in ("white", "yellow"))
    shown = still[rng.integers(len(still))]
    top = CELL_NAMES[max(yellow, key=lambda d: d.value).cell]
    rivals = [CELL_NAMES[d.cell] for d in still]
    return {
        "glyph": Question("glyph", f"digit at {CELL_NAMES[shown.cell]}", str(shown.value)),
        "sum": Question("sum", "sum of white", str(sum(d.value for d in white))),
        "largest": Question("largest", "yellow largest", top, _options(rng, top, rivals, CELL_NAMES)),
        "count": Question("count", "how many yellow", str(len(yellow))),
    }


def ask(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Return one question of each task about the video of `scene`, in the order of `DIGITS_TASKS`."""
    white, yellow, red, blue = (scene.of_colour(c) for c in ("white", "yellow", "red", "blue"))
    which = ("first", "last")[rng.integers(2)]
    wanted = str(red[0 if which == "first" else -1].value)
    last = scene.square_cell(NUM_FRAMES - 1)
    passed = [CELL_NAMES[scene.square_cell(t)] for t in (NUM_FRAMES - scene.late - 1, NUM_FRAMES // 2, 0)]
    digits = [str(d.value) for d in red]
    asked = _ask_still(white + yellow, rng) | {
        "order": Question("order", f"red {which}", wanted, _options(rng, wanted, digits, DIGIT_WORDS)),
        "rare": Question("rare", "digit blue", str(blue[0].value)),
        "end": Question("end", "green end", CELL_NAMES[last], _options(rng, CELL_NAMES[last], passed, CELL_NAMES)),
        "caption": Question("caption", "describe", _caption(white + red + blue, last)),
    }
    return [asked[task.name] for task in DIGITS_TASKS]


def ask_frame(scene: Scene, frame: int, rng: np.random.Generator) -> list[Question]:
    """Return the questions that the still image `frame` of `scene` answers, and its caption."""
    visible = [d for d in scene.digits if d.start <= frame < d.stop]
    asked = _ask_still(visible, rng)
    return [*asked.values(), Question("caption", "describe", _caption(visible, scene.square_cell(frame)))]
