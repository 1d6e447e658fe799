"""Test one finetuned run on the test videos of its study and write its result."""

import json
import time

import torch
from transformers import AutoTokenizer

from vlmfrontier.evaluation.answers import answer_all, group_by_video, show_wrong_videos
from vlmfrontier.evaluation.result import check_model, drop_weights, write_answers, write_result
from vlmfrontier.evaluation.statistics import task_errors
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.weights import device_name, load_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.provenance import provenance
from vlmfrontier.records import read_manifest
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run


def evaluate(study: Study, run: Run, results: ResultsFolder) -> dict:
    """Answer the test questions with the weights of `run`; write `result.json` last and return it."""
    folder, split, settings = results.run(run.key), results.split("test"), study.evaluate
    check_model(folder)
    manifest = read_manifest(split)
    groups = group_by_video(json.loads((split / "questions.json").read_text()))
    tokenizer = AutoTokenizer.from_pretrained(folder.model, local_files_only=True)
    prompt = PromptBuilder(tokenizer)
    model = load_model(folder.model, run.V, study.models.attention)
    if torch.cuda.is_available():
        model = model.cuda()

    started = time.monotonic()
    answers = answer_all(model, prompt, split, groups, run.T, settings.batch_size, settings.max_new_tokens)
    seconds = time.monotonic() - started
    write_answers(folder.answers, answers)
    tasks = study.tasks()
    control = None
    if settings.control_videos:
        wrong = show_wrong_videos(groups, min(settings.control_videos, len(groups)))
        blind = answer_all(
            model, prompt, split, wrong, run.T, settings.batch_size, settings.max_new_tokens, "answer with wrong videos"
        )
        write_answers(folder.answers, blind, ".wrong_video")
        control = task_errors(tasks, blind)
    measured = {
        "errors": task_errors(tasks, answers),
        "wrong_video": control,
        "decode_failures": 0,
        "test": {key: manifest[key] for key in ("videos", "questions", "hash_videos", "hash_conversations")},
        "provenance": provenance(device_name()),
    }
    result = write_result(study, run, results, model.config, seconds, measured)
    if not study.finetune.keep_model:
        drop_weights(folder)
    return result
