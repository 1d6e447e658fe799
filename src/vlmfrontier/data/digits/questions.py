"""The eight tasks: what is asked of a scene, and the true answer.

The word that decides the answer stands last in a question, so that a small language model reads the answer off that
word. Every question is answered with single words of `VOCABULARY`; a caption is a list of them.
"""

from dataclasses import dataclass

import numpy as np

from vlmfrontier.data.digits.scene import CELL_NAMES, NUM_FRAMES, Scene

WORDS = ("digit", "at", "sum", "of", "how", "many", "first", "last", "largest", "describe", "end")
SUBJECTS = ("white", "red", "blue", "green")  # what a caption tells of
VOCABULARY = (*WORDS, *SUBJECTS, "yellow", *(str(i) for i in range(18)), *CELL_NAMES)
DIGIT_WORDS = tuple(str(i) for i in range(10))
NUM_OPTIONS = 4


@dataclass(frozen=True)
class Task:
    """One kind of question and the factor it stresses."""

    name: str
    kind: str
    """`open` (exact match), `choice` (likelihood of four options) or `caption` (facts stated)."""
    long_video: bool
    """The answer rests on a moment that few frames may miss."""
    stresses: str


TASKS = (
    Task("glyph", "open", False, "V: read one digit in one cell"),
    Task("sum", "open", False, "N and V: find two digits and add them"),
    Task("largest", "choice", False, "N and V: compare up to four digits, answer with a place"),
    Task("order", "choice", True, "T: which red digit came first or last"),
    Task("count", "open", False, "V: count the yellow digits"),
    Task("rare", "open", True, "T: a digit that may be there for a single frame"),
    Task("end", "choice", True, "T and N: where the square is at the very end"),
    Task("caption", "caption", False, "all: tell everything"),
)


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


def _caption(scene: Scene) -> str:
    """Return all facts: white digits with their cells, red digits in order, the blue digit, where green ends."""
    words = ["white"]
    for digit in sorted(scene.of_colour("white"), key=lambda d: d.cell):
        words += [str(digit.value), CELL_NAMES[digit.cell]]
    words += ["red", *(str(d.value) for d in scene.of_colour("red"))]
    words += ["blue", str(scene.of_colour("blue")[0].value)]
    words += ["green", CELL_NAMES[scene.square_cell(NUM_FRAMES - 1)]]
    return " ".join(words)


def ask(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Return one question of each task about `scene`, in the order of `TASKS`."""
    white, yellow, red, blue = (scene.of_colour(c) for c in ("white", "yellow", "red", "blue"))
    still = white + yellow
    shown = still[rng.integers(len(still))]
    top = CELL_NAMES[max(yellow, key=lambda d: d.value).cell]
    which = ("first", "last")[rng.integers(2)]
    wanted = str(red[0 if which == "first" else -1].value)
    end = CELL_NAMES[scene.square_cell(NUM_FRAMES - 1)]
    passed = [CELL_NAMES[scene.square_cell(t)] for t in (NUM_FRAMES - scene.late - 1, NUM_FRAMES // 2, 0)]
    return [
        Question("glyph", f"digit at {CELL_NAMES[shown.cell]}", str(shown.value)),
        Question("sum", "sum of white", str(sum(d.value for d in white))),
        Question("largest", "yellow largest", top, _options(rng, top, [CELL_NAMES[d.cell] for d in still], CELL_NAMES)),
        Question("order", f"red {which}", wanted, _options(rng, wanted, [str(d.value) for d in red], DIGIT_WORDS)),
        Question("count", "how many yellow", str(len(yellow))),
        Question("rare", "digit blue", str(blue[0].value)),
        Question("end", "green end", end, _options(rng, end, passed, CELL_NAMES)),
        Question("caption", "describe", _caption(scene)),
    ]
