"""Test one finetuned run on the test videos of its study: ask it, about the right videos or, as a control, about wrong
ones, and write its result.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from vlmfrontier.data.digits.scene import SUBJECTS
from vlmfrontier.data.frames import FrameReader
from vlmfrontier.evaluation.packed import PackedReader, new_tensors_on
from vlmfrontier.evaluation.result import (
    check_model,
    drop_weights,
    exact_match,
    facts_f1,
    most_likely,
    residuals_by_task,
    task_errors,
    write_answers,
    write_result,
    write_test,
)
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig
from vlmfrontier.models.vision import resize
from vlmfrontier.models.weights import device_name, load_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.progress import Count
from vlmfrontier.provenance import provenance
from vlmfrontier.records import read_finetuned, read_manifest
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.outdated import Identity
from vlmfrontier.sweep.runs import Run
from vlmfrontier.tasks import DIGITS_TASKS

KINDS = {task.name: task.kind for task in DIGITS_TASKS}


def group_by_video(questions: Sequence[dict]) -> list[tuple[str, list[dict]]]:
    """Return (video, its questions) in the order of the file."""
    groups: dict[str, list[dict]] = defaultdict(list)
    for question in questions:
        groups[question["video"]].append(question)
    return list(groups.items())


def show_wrong_videos(groups: list[tuple[str, list[dict]]], count: int) -> list[tuple[str, list[dict]]]:
    """Return the first `count` groups, each with the next group's video: what a model knows without seeing remains."""
    chosen = groups[:count]
    return [(chosen[(i + 1) % len(chosen)][0], questions) for i, (_, questions) in enumerate(chosen)]


@torch.inference_mode()
def answer_all(
    model: VideoVLM,
    prompt: PromptBuilder,
    folder: Path,
    groups: list[tuple[str, list[dict]]],
    frames: int,
    tokens: Sequence[int],
    settings: EvaluateConfig,
    name: str = "answer",
) -> dict[int, dict[str, list[dict]]]:
    """Return for each number of `tokens` per frame the answered questions by task: id, video, shown, question, truth,
    answer, score in 0–1.

    Every frame is seen once for all of them. Says under `name` how many videos are completed.
    """
    reader = FrameReader(folder, resize=partial(resize, side=model.config.vision_config.image_size))
    model.eval()
    answered: dict[int, dict[str, list[dict]]] = {V: {task: [] for task in KINDS} for V in tokens}
    count = Count(name, len(groups), "videos")
    for first in range(0, len(groups), settings.batch_size):
        batch = groups[first : first + settings.batch_size]
        pixels = torch.from_numpy(np.stack([reader.read(video, frames) for video, _ in batch])).to(model.device)
        shown = [video for video, _ in batch]
        with new_tensors_on(model.device):
            features = model.encode_images(pixels)
            for V in tokens:
                packed = PackedReader(model, prompt, model.project(features, V))
                records = _choices(packed, prompt, shown, _of_kind(batch, choice=True))
                records += _texts(packed, prompt, shown, _of_kind(batch, choice=False), settings.max_new_tokens)
                for record in records:
                    answered[V][record["task"]].append(record)
        count.add(len(batch))
    count.done()
    return {V: {task: records for task, records in tasks.items() if records} for V, tasks in answered.items()}


def _of_kind(batch: list[tuple[str, list[dict]]], choice: bool) -> list[list[dict]]:
    return [[q for q in questions if (KINDS[q["task"]] == "choice") == choice] for _, questions in batch]


def _record(question: dict, shown: str, answer: str, score: float, **more) -> dict:
    kept = {key: question[key] for key in ("id", "task", "video", "question")}
    return {**kept, "shown": shown, "truth": question["answer"], "answer": answer, "score": score, **more}


def _choices(packed: PackedReader, prompt: PromptBuilder, shown: list[str], rows: list[list[dict]]) -> list[dict]:
    """Answer multiple choice by the likelihood of the options' words."""
    if not any(rows):
        return []
    asked = [[prompt.question(q["question"]) for q in row for _ in q["options"]] for row in rows]
    options = [[prompt.answer_tokens(q["question"], o) for q in row for o in q["options"]] for row in rows]
    likelihoods = packed.log_likelihoods(asked, options)
    records = []
    for video, row, values in zip(shown, rows, likelihoods.tolist(), strict=True):
        remaining = iter(values)
        for question in row:
            own = [next(remaining) for _ in question["options"]]
            answer = question["options"][most_likely(own)]
            score = exact_match(answer, question["answer"])
            records.append(_record(question, video, answer, score, log_likelihoods=[round(v, 4) for v in own]))
    return records


def _texts(
    packed: PackedReader, prompt: PromptBuilder, shown: list[str], rows: list[list[dict]], max_new_tokens: int
) -> list[dict]:
    """Answer open questions and captions by greedy generation."""
    if not any(rows):
        return []
    generated = packed.generate([[prompt.question(q["question"]) for q in row] for row in rows], max_new_tokens)
    records = []
    for video, row, texts in zip(shown, rows, generated, strict=True):
        for question, tokens in zip(row, texts, strict=True):
            answer = prompt.answer_text(tokens)
            caption = KINDS[question["task"]] == "caption"
            score = (
                facts_f1(answer, question["answer"], SUBJECTS) if caption else exact_match(answer, question["answer"])
            )
            records.append(_record(question, video, answer, score))
    return records


def evaluate(study: Study, run: Run, results: ResultsFolder) -> dict:
    """Answer the test questions with the weights of `run`, at all T and V that it is tested at; write `result.json`, of
    its own T and V, last and return it.

    A test elsewhere is written as soon as all of its T are done, and one that stands is not repeated.
    """
    folder, split = results.run(run.key), results.split("test")
    check_model(folder)
    manifest = read_manifest(split)
    test = {key: manifest[key] for key in ("videos", "questions", "hash_videos", "hash_conversations")}
    groups = group_by_video(json.loads((split / "questions.json").read_text()))
    prompt = PromptBuilder(AutoTokenizer.from_pretrained(folder.model, local_files_only=True))
    model = load_model(folder.model, run.V, study.models.attention)
    if torch.cuda.is_available():
        model = model.cuda()

    def answer(T: int, tokens: Sequence[int], name: str, groups: list = groups) -> dict[int, dict[str, list[dict]]]:
        return answer_all(model, prompt, split, groups, T, tokens, study.evaluate, name)

    weights = read_finetuned(folder.finetuned)["weights"]
    now = Identity(study, results.root)
    missing = [(T, V) for T, V in run.tested if not now.test_result(run, T, V, weights)]
    for T in sorted({T for T, _ in missing} - {run.T}):
        _test(study, run, results, model.config, test, T, [V for t, V in missing if t == T], answer)
    levels = [run.V, *(V for T, V in missing if T == run.T)]
    answers, seconds = _test(study, run, results, model.config, test, run.T, levels, answer)
    write_answers(folder.answers, answers)
    control, count = None, min(study.evaluate.control_videos, len(groups))
    if count:
        blind = answer(run.T, [run.V], "answer with wrong videos", show_wrong_videos(groups, count))[run.V]
        write_answers(folder.answers, blind, ".wrong_video")
        control = task_errors(study.tasks(), blind)
    measured = {
        "errors": task_errors(study.tasks(), answers),
        "wrong_video": control,
        "decode_failures": 0,
        "test": test,
        "provenance": provenance(device_name()),
    }
    result = write_result(study, run, results, model.config, seconds, measured)
    if not study.finetune.keep_model:
        drop_weights(folder)
    return result


def _test(
    study: Study,
    run: Run,
    results: ResultsFolder,
    config: VideoVLMConfig,
    test: dict,
    T: int,
    tokens: Sequence[int],
    answer: Callable[[int, Sequence[int], str], dict[int, dict[str, list[dict]]]],
) -> tuple[dict[str, list[dict]], float]:
    """Test `run` at T frames and each number of `tokens`, and write a result of each that is not its own; return the
    answers and the seconds of the first."""
    folder, started = results.run(run.key), time.monotonic()
    own = (T, tokens[0]) == (run.T, run.V)
    levels = f" at T = {T}, V = {', '.join(map(str, tokens))}"
    answered = answer(T, tokens, "answer" if own and len(tokens) == 1 else f"answer{levels}")
    seconds = (time.monotonic() - started) / len(tokens)
    for V in tokens[1:] if own else tokens:
        answers = answered[V]
        if study.evaluate.keep_answers == "all":
            write_answers(folder.tested_answers(T, V), answers)
        measured = {
            "errors": task_errors(study.tasks(), answers),
            "test": test,
            "provenance": provenance(device_name()),
            "residuals": residuals_by_task(answers),
        }
        write_test(study, run, results, config, (T, V), seconds, measured)
    return answered[tokens[0]], seconds
