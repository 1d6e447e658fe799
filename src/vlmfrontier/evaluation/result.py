"""Everything about a run in one file: `runs/<run>/result.json`, whichever way it was tested."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.models.build import count_flops
from vlmfrontier.models.video_vlm import VideoVLMConfig
from vlmfrontier.models.weights import check_saved
from vlmfrontier.paths import ResultsFolder, RunFolder
from vlmfrontier.records import read_finetuned
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import result_settings
from vlmfrontier.sweep.runs import Run

WEIGHTS = "*.safetensors"


def write_answers(folder: Path, answers: dict[str, list[dict]], suffix: str = "") -> None:
    """Write `<task><suffix>.jsonl`, a record a line, for every task."""
    folder.mkdir(parents=True, exist_ok=True)
    for task, records in answers.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{task}{suffix}.jsonl").write_text(lines)


def check_model(folder: RunFolder) -> None:
    """Raise `UserError` if the weights of a run are gone, or no numbers."""
    if not folder.has_weights:
        raise UserError(f"{folder.model}: the weights were removed; finetune the run again before evaluating it")
    check_saved(folder.model, "lower finetune.learning_rates and finetune the run again before evaluating it")


def check_measured(run: str, errors: dict[str, dict[str, Any]], loss: float) -> None:
    """Raise `UserError` unless all `errors` of `run` are of 0 to 100 and its training's last `loss` is finite."""
    for task, entry in errors.items():
        if not 0 <= entry["error"] <= 100:
            raise UserError(f"{run}: the error of {task} is {entry['error']}, not of 0 to 100; nothing is written")
    if not math.isfinite(loss):
        raise UserError(
            f"{run}: its finetuned.json says loss {loss}: the training diverged; lower finetune.learning_rates and "
            "finetune the run again"
        )


def drop_weights(folder: RunFolder) -> None:
    """Delete the weights of a run; its configuration stays, which a second rating of its answers reads."""
    for path in folder.model.glob(f"{WEIGHTS}*"):  # with the index of weights in several files
        path.unlink()


def model_config(folder: RunFolder, V: int) -> VideoVLMConfig:
    """Return the configuration of the finetuned model, set to V tokens a frame."""
    return VideoVLMConfig.from_pretrained(folder.model, tokens_per_frame=V, local_files_only=True)


def write_result(
    study: Study, run: Run, results: ResultsFolder, config: VideoVLMConfig, seconds: float, measured: dict[str, Any]
) -> dict[str, Any]:
    """Write `result.json` and return it: the run, what was measured, what a video costs, and what training says."""
    folder = results.run(run.key)
    trained = read_finetuned(folder.finetuned)
    check_measured(run.key, measured["errors"], trained["loss"])
    flops = count_flops(config, run.T, text_tokens=0)
    result = {
        **asdict(run),
        "study": study.study,
        "visual_tokens": run.T * run.V,
        **measured,
        "counted_flops": {**flops, "total": sum(flops.values())},
        "seconds": {"finetune": trained["seconds"], "evaluate": round(seconds, 2)},
        "recipe": result_settings(study, trained["weights"], measured.get("test")),
        "training": trained,
        "log": str(folder.state / "train.jsonl"),
    }
    write_json(folder.result, result)
    return result
