"""Stage 2: finetune one configuration of the sweep on its n examples."""

import hashlib
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer

from vlmfrontier.data.conversations import read_conversations
from vlmfrontier.data.subsets import nested_subset, subset_hash
from vlmfrontier.models.build import check_parameters, count_parameters, load_model
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.provenance import provenance
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run
from vlmfrontier.training.batches import parameter_groups
from vlmfrontier.training.examples import VideoConversations, training_order
from vlmfrontier.training.loop import train
from vlmfrontier.training.state import TrainingState, write_json

WEIGHTS = "model.safetensors"


def device_name() -> str:
    """Return the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def run_recipe(study: Study, run: Run, manifest: dict, start: Path) -> dict:
    """Return everything that decides the weights of `run`: what a state folder is checked against."""
    return {
        "run": {"language": run.language, "T": run.T, "V": run.V, "n": run.n, "seed": run.seed},
        "study_seed": study.seed,
        "finetune": study.finetune.model_dump(exclude={"keep_model", "save_every", "log_every"}),
        "turns": study.data.turns,
        "attention": study.models.attention,
        "conversations": manifest["hash_conversations"],
        "videos": manifest["hash_videos"],
        "start": _hash(start / WEIGHTS),
    }


def finetune(study: Study, run: Run, results: ResultsFolder) -> dict:
    """Finetune `run`, save its weights to `runs/<run>/model/` and write `finetuned.json` last; return what it says.

    Goes on from `runs/<run>/state/` if an earlier attempt was stopped. Raises `UserError` if that state was made by
    another configuration or if there are fewer than n examples.
    """
    folder, split = results.run(run.key), results.split("train")
    manifest = json.loads((split / "manifest.json").read_text())
    start = results.start(study.models, run.language)
    recipe = run_recipe(study, run, manifest, start)
    conversations = read_conversations(split / "conversations.json")
    ids = [c.id for c in conversations]
    seed = 1000 * study.seed + run.seed
    subset = nested_subset(ids, run.n, seed)
    tokenizer = AutoTokenizer.from_pretrained(start, local_files_only=True)
    model = load_model(start, run.V, study.models.attention)
    check_parameters(model, study.models, run.language)
    settings = study.finetune
    order = training_order(subset, settings.epochs, seed)
    examples = VideoConversations(
        split, conversations, order, PromptBuilder(tokenizer), run.T, run.V, study.data.turns == "independent"
    )
    summary = train(
        model,
        examples,
        examples.collate,
        parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, run.language)),
        settings,
        TrainingState(folder.state, recipe),
        steps=-(-len(order) // settings.batch_size),
        seed=seed,
        label=run.key,
    )
    model.save_pretrained(folder.model)
    tokenizer.save_pretrained(folder.model)
    report = {
        "run": run.key,
        "recipe": recipe,
        "subset": subset_hash([ids[i] for i in subset]),
        "steps": summary.steps,
        "resumed_at": summary.resumed_at,
        "loss": summary.loss,
        "seconds": round(summary.seconds, 2),
        "parameters": count_parameters(model),
        "weights": _hash(folder.model / WEIGHTS),
        "provenance": provenance(device_name()),
    }
    write_json(folder.finetuned, report)
    TrainingState(folder.state, recipe).clear_checkpoints()
    return report
