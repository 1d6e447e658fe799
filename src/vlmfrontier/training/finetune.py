"""Stage 2: finetune one configuration of the sweep on its n examples."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from transformers import AutoTokenizer, set_seed

from vlmfrontier.data.conversations import Conversations, open_conversations
from vlmfrontier.data.failures import Failures
from vlmfrontier.data.frames import Reading
from vlmfrontier.data.subsets import nested_subset, subset_hash
from vlmfrontier.files import hash_file, write_json
from vlmfrontier.models.build import PRECISIONS, check_parameters, count_parameters, load_model, save_model
from vlmfrontier.models.lora import add_lora, merge_lora, save_adapter
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.paths import ResultsFolder, RunFolder
from vlmfrontier.provenance import provenance
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import FinetuneConfig
from vlmfrontier.sweep.recipes import HOUSEKEEPING, settings_of
from vlmfrontier.sweep.runs import Run
from vlmfrontier.training.batches import parameter_groups
from vlmfrontier.training.examples import Frames, VideoConversations, training_order
from vlmfrontier.training.loading import Loading
from vlmfrontier.training.loop import WHOLE_BATCHES, Layout, is_first, num_processes, train
from vlmfrontier.training.owner import Ownership
from vlmfrontier.training.state import TrainingState, finished_training

WEIGHTS = "model.safetensors"
FOUND = "finished already"
"""What the first process tells the others under this key."""


def device_name() -> str:
    """Return the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _hash(path: Path) -> str:
    return hash_file(path)[:16]


def run_recipe(study: Study, run: Run, manifest: dict, start: Path) -> dict:
    """Return everything that decides the weights of `run`: what a state folder is checked against."""
    return {
        "run": {"language": run.language, "T": run.T, "V": run.V, "n": run.n, "seed": run.seed},
        "study_seed": study.seed,
        "finetune": {k: v for k, v in settings_of(study.finetune).items() if k not in HOUSEKEEPING},
        "turns": study.data.turns,
        "attention": study.models.attention,
        "conversations": manifest["hash_conversations"],
        "videos": manifest["hash_videos"],
        "start": _hash(start / WEIGHTS),
        **({"shared": num_processes() > 1} if study.finetune.sharding == "fsdp2" else {}),
        **({"reading": study.data.reading()} if study.data.reading() else {}),
    }


@contextlib.contextmanager
def sole_writer(state: Path) -> Iterator[Callable[[], None]]:
    """Hold the state folder while the block runs, after waiting for its holder; give a check that it is still ours."""
    if not is_first():  # of the processes of one training the first one writes, and holds
        yield lambda: None
        return
    state.mkdir(parents=True, exist_ok=True)
    owner = Ownership(state, lambda line: print(line, flush=True))
    owner.take()
    try:
        yield owner.check
    finally:
        owner.release()


def finished_already(folder: RunFolder, recipe: dict, again: str | None) -> dict | None:
    """Return the report of this very training if it has finished and its weights are intact, else None.

    Whoever starts it once more, a retry after a time limit, a requeued job, a second Snakemake, a user who lost
    `finetuned.json`, trains nothing. `again` names a request to train all the same, which only a training that was made
    for it answers: so a retry of a forced training trains nothing either.
    """
    finished = finished_training(folder.state)
    if finished is None or finished.report["recipe"] != json.loads(json.dumps(recipe)):
        return None
    weights = folder.model / WEIGHTS
    intact = weights.exists() and _hash(weights) == finished.report["weights"]
    return finished.report if intact and again in (None, finished.again) else None


def _finished_model(model: VideoVLM, settings: FinetuneConfig, folder: RunFolder) -> VideoVLM:
    """Return the trained model as it is kept: updates merged, numbers of the precision that it computes in."""
    if settings.lora is not None:
        if settings.lora.keep_adapter:
            save_adapter(model, settings.lora, settings.train, folder.adapter)
        merge_lora(model)
    return model.to(PRECISIONS[settings.precision])


def told_by_first(find: Callable[[], dict | None]) -> dict | None:
    """Return what `find` gives in the first process of a training; the others wait for it, however long it takes."""
    if num_processes() == 1:
        return find()
    # torchrun's own store, since there is no process group yet, and one would give up after half an hour.
    store, *_ = next(dist.rendezvous("env://"))
    if is_first():
        found = find()
        store.set(FOUND, json.dumps(found))
        return found
    while not store.check([FOUND]):
        time.sleep(0.1)
    return json.loads(store.get(FOUND))


def finetune(
    study: Study, run: Run, results: ResultsFolder, layout: Layout = WHOLE_BATCHES, again: str | None = None
) -> dict:
    """Finetune `run`, save its weights to `runs/<run>/model/` and write `finetuned.json` last; return what it says.

    Waits while another process trains it. Trains nothing if this training has finished before, unless `again` names a
    request that it was not made for. Goes on from `runs/<run>/state/` if an earlier attempt was stopped. Raises
    `UserError` if that state was made by another configuration or if there are fewer than n examples.
    """
    folder, split = results.run(run.key), results.split("train")
    manifest = json.loads((split / "manifest.json").read_text())
    start = results.start(study.models, run.language, run.vision)
    recipe = run_recipe(study, run, manifest, start)
    with sole_writer(folder.state) as check:
        finished = told_by_first(lambda: finished_already(folder, recipe, again))
        state = TrainingState(folder.state, recipe, is_first(), check)
        if finished is None:
            return _finetune(study, run, results, layout, state, again)
        state.clear_checkpoints()
        if is_first():
            print(_already(finished), flush=True)
            write_json(folder.finetuned, finished)
        return finished


def _subset(conversations: Conversations, n: int, seed: int) -> tuple[list[int], str]:
    """Return the positions of a run's examples and their hash; the ids of all, which millions have, are let go."""
    ids = conversations.ids
    subset = nested_subset(ids, n, seed, conversations.sources)
    return subset, subset_hash([ids[i] for i in subset])


def _already(finished: dict) -> str:
    job, moment = finished["provenance"]["slurm_job_id"], finished["provenance"]["finished"]
    return f"{finished['run']}: trained {f'by Slurm job {job} ' if job else ''}until {moment}; nothing is trained again"


def _finetune(
    study: Study, run: Run, results: ResultsFolder, layout: Layout, state: TrainingState, again: str | None
) -> dict:
    state.begin()
    folder, split = results.run(run.key), results.split("train")
    start = results.start(study.models, run.language, run.vision)
    conversations = open_conversations(split)
    seed = 1000 * study.seed + run.seed
    subset, subset_id = _subset(conversations, run.n, seed)
    tokenizer = AutoTokenizer.from_pretrained(start, local_files_only=True)
    settings = study.finetune
    model = load_model(start, run.V, study.models.attention)
    check_parameters(model, study.models, run.language, run.vision)
    if settings.lora is not None:
        set_seed(seed)  # the same first updates in every process and attempt
        add_lora(model, settings.lora, settings.train)
    groups = (conversations.lengths, settings.batch_size, study.data.length_groups)
    order = training_order(subset, settings.epochs, seed, *groups)
    failures = Failures(folder.state / "decode_failures.jsonl", int(study.data.llava.failures * run.n))
    if state.writer and not state.checkpoints():
        failures.clear()
    examples = VideoConversations(
        Frames(split, study.models.towers[run.vision].image_size, Reading.of(study.data), failures),
        conversations,
        order,
        PromptBuilder(tokenizer),
        run.T,
        run.V,
        study.data.turns == "independent",
    )
    summary = train(
        model,
        examples,
        examples.collate,
        parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, run.language)),
        settings,
        state,
        steps=-(-len(order) // settings.batch_size),
        seed=seed,
        label=run.key,
        layout=layout,
        loading=Loading.of(study),
    )
    if not state.writer:
        return {"steps": summary.steps, "seconds": summary.seconds}
    state.check()
    trained = _finished_model(summary.model, settings, folder)
    save_model(trained, tokenizer, folder.model)
    report = {
        "run": run.key,
        "recipe": state.recipe,
        "subset": subset_id,
        "decode_failures": failures.count(),
        "steps": summary.steps,
        "resumed_at": summary.resumed_at,
        "loss": summary.loss,
        "seconds": round(summary.seconds, 2),
        "processes": num_processes(),
        "parameters": count_parameters(trained),
        "weights": _hash(folder.model / WEIGHTS),
        "provenance": provenance(device_name()),
    }
    state.finish(report, again)
    write_json(folder.finetuned, report)
    return report
