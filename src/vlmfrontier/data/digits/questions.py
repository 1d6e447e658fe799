"""The eight tasks: what is asked of a scene, and the true answer.

The word that decides the answer stands last in a question, so that a small language model reads the answer off that
word. Every question is answered with single words of `VOCABULARY`; a caption is a list of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmfrontier.data.digits.scene import CELL_NAMES, NUM_FRAMES, Digit, Scene
from vlmfrontier.tasks import DIGITS_TASKS

WORDS = ("digit", "at", "sum", "of", "how", "many", "first", "last", "largest", "describe", "end")
SUBJECTS = ("white", "red", "blue", "green")  # what a caption tells of
VOCABULARY = (*WORDS, *SUBJECTS, "yellow", *(str(i) for i in range(18)), *CELL_NAMES)
DIGIT_WORDS = tuple(str(i) for i in range(10))
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
