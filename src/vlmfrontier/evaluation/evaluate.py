"""Test one finetuned run on the test videos and write its result."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import AutoTokenizer

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.answers import answer_all, group_by_video, show_wrong_videos
from vlmfrontier.evaluation.statistics import task_errors
from vlmfrontier.models.build import load_model
from vlmfrontier.models.flops import count_flops
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.provenance import provenance
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run
from vlmfrontier.training.finetune import device_name
from vlmfrontier.training.state import write_json


def _write_answers(folder: Path, answers: dict[str, list[dict]], suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for task, records in answers.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{task}{suffix}.jsonl").write_text(lines)


def evaluate(study: Study, run: Run, results: ResultsFolder) -> dict:
    """Answer the test questions with the weights of `run`; write `result.json` last and return it."""
    folder, split, settings = results.run(run.key), results.split("test"), study.evaluate
    trained = json.loads(folder.finetuned.read_text())
    if not folder.model.exists():
        raise UserError(f"{folder.model}: the weights were removed; finetune the run again before evaluating it")
    manifest = json.loads((split / "manifest.json").read_text())
    groups = group_by_video(json.loads((split / "questions.json").read_text()))
    tokenizer = AutoTokenizer.from_pretrained(folder.model, local_files_only=True)
    prompt = PromptBuilder(tokenizer)
    model = load_model(folder.model, run.V, study.models.attention)
    if torch.cuda.is_available():
        model = model.cuda()

    started = time.monotonic()
    answers = answer_all(model, prompt, split, groups, run.T, settings.batch_size, settings.max_new_tokens)
    seconds = time.monotonic() - started
    _write_answers(folder.answers, answers)
    tasks = study.tasks()
    control = None
    if settings.control_videos:
        wrong = show_wrong_videos(groups, min(settings.control_videos, len(groups)))
        blind = answer_all(model, prompt, split, wrong, run.T, settings.batch_size, settings.max_new_tokens)
        _write_answers(folder.answers, blind, ".wrong_video")
        control = task_errors(tasks, blind)

    flops = count_flops(model.config, run.T, text_tokens=0)
    result = {
        **asdict(run),
        "study": study.study,
        "errors": task_errors(tasks, answers),
        "wrong_video": control,
        "visual_tokens": run.T * run.V,
        "counted_flops": {**flops, "total": sum(flops.values())},
        "decode_failures": 0,
        "seconds": {"finetune": trained["seconds"], "evaluate": round(seconds, 2)},
        "training": trained,
        "test": {key: manifest[key] for key in ("videos", "questions", "hash_videos", "hash_conversations")},
        "log": str(folder.state / "train.jsonl"),
        "provenance": provenance(device_name()),
    }
    write_json(folder.result, result)
    if not study.finetune.keep_model:
        shutil.rmtree(folder.model)
    return result
