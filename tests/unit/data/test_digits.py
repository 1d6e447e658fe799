"""Scenes, their questions, and the files of a split."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vlmfrontier.data.digits import build
from vlmfrontier.data.digits.build import IMAGE_SPLITS, build_split, render, scene_and_questions, sprites
from vlmfrontier.data.digits.scene import (
    CELL_EDGES,
    CELL_NAMES,
    CELLS_PER_SIDE,
    LAYOUT,
    NUM_FRAMES,
    NUM_VALUES,
    VOCABULARY,
    ask,
    sample_scene,
)
from vlmfrontier.tasks import DIGITS_TASKS


def scenes(count: int):
    return [sample_scene(np.random.default_rng([5, i])) for i in range(count)]


def test_answers_follow_from_the_scene():
    for number, scene in enumerate(scenes(200)):
        asked = {q.task: q for q in ask(scene, np.random.default_rng(number))}
        white, yellow, red = (scene.of_colour(c) for c in ("white", "yellow", "red"))
        assert int(asked["sum"].answer) == sum(d.value for d in white)
        assert int(asked["count"].answer) == len(yellow)
        ends = {"first": red[0], "last": red[-1]}
        assert int(asked["order"].answer) == ends[asked["order"].question.split()[-1]].value
        cell = CELL_NAMES.index(asked["glyph"].question.split()[-1])
        assert [d.value for d in white + yellow if d.cell == cell] == [int(asked["glyph"].answer)]
        assert asked["end"].answer == CELL_NAMES[scene.square_cell(NUM_FRAMES - 1)]


def test_every_word_is_in_the_vocabulary_and_options_are_four_with_the_answer_among_them():
    for number, scene in enumerate(scenes(200)):
        for question in ask(scene, np.random.default_rng(number)):
            assert set(f"{question.question} {question.answer}".split()) <= set(VOCABULARY)
            if question.options:
                assert len(set(question.options)) == 4
                assert question.answer in question.options


def test_the_place_of_the_right_option_tells_nothing():
    places = [
        q.options.index(q.answer)
        for i, s in enumerate(scenes(800))
        for q in ask(s, np.random.default_rng(i))
        if q.options
    ]
    shares = np.bincount(places, minlength=4) / len(places)
    # 2,400 draws of probability 1/4: standard error 0.009; five of them.
    assert np.abs(shares - 0.25).max() < 0.045


def test_events_do_not_overlap_and_stay_inside_the_video():
    for scene in scenes(300):
        red = scene.of_colour("red")
        assert all(a.stop <= b.start for a, b in pairwise(red))
        assert all(0 <= d.start < d.stop <= NUM_FRAMES for d in scene.digits)
        assert len({d.cell for d in scene.digits}) == len(scene.digits)


def test_stage_1_shows_familiar_digits_alone_and_finetuning_all(monkeypatch):
    monkeypatch.setattr(build, "LAYOUT", replace(LAYOUT, familiar=4))
    shown = {
        split: [[d.value for d in scene_and_questions(split, i, 3)[0].digits] for i in range(100)]
        for split in ("align", "train", "test")
    }
    assert {value for values in shown["align"] for value in values} == set(range(4))
    for split in ("train", "test"):
        assert {value for values in shown[split] for value in values} == set(range(NUM_VALUES))
    assert {len(values) for values in shown["align"]} == {len(values) for values in shown["train"]}  # none is left out


def test_a_digit_is_painted_inside_its_cell_while_it_is_there():
    scene = scenes(1)[0]
    video = render(scene, "train").astype(int)
    blue = scene.of_colour("blue")[0]
    row, column = divmod(blue.cell, CELLS_PER_SIDE)
    cell = (slice(CELL_EDGES[row], CELL_EDGES[row + 1]), slice(CELL_EDGES[column], CELL_EDGES[column + 1]))
    excess = [(frame[cell][..., 2] - frame[cell][..., 0]).max() for frame in video]
    shown = [blue.start <= t < blue.stop for t in range(NUM_FRAMES)]
    assert min(e for e, s in zip(excess, shown, strict=True) if s) > 80
    assert max((e for e, s in zip(excess, shown, strict=True) if not s), default=0) < 80


def test_handwriting_of_training_and_test_is_disjoint():
    spans = sorted(IMAGE_SPLITS.values())
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert spans[-1][1] == 1797
    assert not np.array_equal(sprites("train", 3, 9)[0], sprites("test", 3, 9)[0])


def test_a_split_is_the_same_bytes_for_any_number_of_processes(tmp_path):
    one = build_split(tmp_path / "one", "test", 6, "test", seed=9)
    two = build_split(tmp_path / "two", "test", 6, "test", seed=9, processes=2)
    assert one == two
    other = build_split(tmp_path / "other", "test", 6, "test", seed=10)
    assert other["hash_videos"] != one["hash_videos"]


def test_questions_file_has_one_question_of_each_task_per_video(small_results):
    questions = json.loads((small_results / "data/test/questions.json").read_text())
    assert len(questions) == 10 * len(DIGITS_TASKS)
    assert [q["task"] for q in questions[: len(DIGITS_TASKS)]] == [t.name for t in DIGITS_TASKS]
    assert {q["answer"] for q in questions} == {
        q.answer for i in range(10) for q in scene_and_questions("test", i, 3)[1]
    }


@pytest.mark.parametrize("kind", ["open", "choice", "caption"])
def test_all_kinds_of_the_paper_are_there_and_two_tasks_need_long_videos(kind):
    assert any(t.kind == kind for t in DIGITS_TASKS)
    assert sum(t.long_video for t in DIGITS_TASKS) >= 2
