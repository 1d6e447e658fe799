"""Stage 2: finetune one configuration of the sweep on its n examples."""

from functools import partial
from pathlib import Path

from transformers import set_seed

from vlmfrontier.data.conversations import Conversations, open_conversations
from vlmfrontier.files import weights_hash
from vlmfrontier.models.build import check_parameters, count_parameters, start_prompt
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.models.weights import PRECISIONS, add_lora, load_model, merge_lora, save_adapter, save_model
from vlmfrontier.paths import ResultsFolder, RunFolder
from vlmfrontier.records import read_manifest
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import FinetuneConfig
from vlmfrontier.sweep.fingerprints import run_settings
from vlmfrontier.sweep.outdated import weights_dropped
from vlmfrontier.sweep.runs import Run
from vlmfrontier.training.curves import Curves
from vlmfrontier.training.examples import VideoConversations, counted_frames, nested_subset, subset_hash, training_order
from vlmfrontier.training.loop import parameter_groups, train
from vlmfrontier.training.processes import WHOLE_BATCHES, BatchPlan, Loading, num_processes
from vlmfrontier.training.state import Stage, TrainingState, run_if_needed


def training_settings(study: Study, run: Run, results: ResultsFolder, prompt: PromptBuilder) -> dict:
    """Return everything that decides the weights of `run`: what a state folder is checked against."""
    manifest = read_manifest(results.split("train"))
    return {
        **run_settings(study, run),
        "conversations": manifest["hash_conversations"],
        "videos": manifest["hash_videos"],
        "start": weights_hash(results.start(study.models, run.language, run.vision)),
        **prompt.settings(),
        **({"shared": num_processes() > 1} if study.finetune.sharding == "fsdp2" else {}),
    }


def finetune(
    study: Study, run: Run, results: ResultsFolder, plan: BatchPlan = WHOLE_BATCHES, force: str | None = None
) -> dict | None:
    """Finetune `run` unless it has been, save its weights to `runs/<run>/model/` and write `finetuned.json` last.

    Returns what it says, None in all processes but the first. Goes on from `runs/<run>/state/` if an earlier attempt
    was stopped; `force` as in `run_if_needed`. Raises `UserError` if that state was made by another configuration or if
    there are fewer than n examples.
    """
    folder = results.run(run.key)
    prompt = start_prompt(results.start(study.models, run.language, run.vision))
    return run_if_needed(
        Stage(run.key, folder.state, folder.model, folder.finetuned, partial(weights_dropped, study, folder)),
        lambda: training_settings(study, run, results, prompt),
        lambda state: _finetune(study, run, results, plan, state, prompt),
        force,
    )


def _finetune(
    study: Study, run: Run, results: ResultsFolder, plan: BatchPlan, state: TrainingState, prompt: PromptBuilder
) -> dict | None:
    folder, start = results.run(run.key), results.start(study.models, run.language, run.vision)
    settings, seed = study.finetune, 1000 * study.seed + run.seed
    curves = Curves.of(study, folder.root, run.key)
    examples, subset = _examples(study, run, results, prompt, seed, state)
    model = _starting_model(study, run, start, seed)
    summary = train(
        model,
        examples,
        examples.collate,
        parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, run.language)),
        settings,
        state,
        steps=-(-len(examples) // settings.batch_size),
        seed=seed,
        label=run.key,
        plan=plan,
        loading=Loading.of(study.execution, study.data),
        curves=curves,
    )
    if not state.writer:
        return None
    state.check()
    trained = _finished_model(summary.model, settings, folder)
    save_model(trained, prompt.tokenizer, folder.model)
    return {
        "run": run.key,
        "subset": subset,
        **summary.report(),
        "decode_failures": examples.frames.failures.count(),
        "parameters": count_parameters(trained),
    }


def _examples(
    study: Study, run: Run, results: ResultsFolder, prompt: PromptBuilder, seed: int, state: TrainingState
) -> tuple[VideoConversations, str]:
    """Return the run's examples in the order of training, and the hash of the subset that they are."""
    split, settings = results.split("train"), study.finetune
    conversations = open_conversations(split)
    subset, subset_id = _subset(conversations, run.n, seed)
    groups = (conversations.lengths, settings.batch_size, study.data.length_groups)
    order = training_order(subset, settings.epochs, seed, *groups)
    frames = counted_frames(study.data, split, study.models.towers[run.vision].image_size, state, run.n)
    examples = VideoConversations(
        frames,
        conversations,
        order,
        prompt,
        batch_size=settings.batch_size,
        seed=seed,
        levels=run.levels,
        independent=study.data.turns == "independent",
    )
    return examples, subset_id


def _subset(conversations: Conversations, n: int, seed: int) -> tuple[list[int], str]:
    """Return the positions of a run's examples and their hash; the ids of all, which millions have, are let go."""
    ids = conversations.ids
    subset = nested_subset(ids, n, seed, conversations.sources)
    return subset, subset_hash([ids[i] for i in subset])


def _starting_model(study: Study, run: Run, start: Path, seed: int) -> VideoVLM:
    """Return the model that a run starts from, with new low-rank updates if these are what learns."""
    model, settings = load_model(start, run.V, study.models.attention), study.finetune
    check_parameters(model, study.models, run.language, run.vision)
    if settings.lora is not None:
        set_seed(seed)  # the same first updates in every process and attempt
        add_lora(model, settings.lora, settings.train)
    return model


def _finished_model(model: VideoVLM, settings: FinetuneConfig, folder: RunFolder) -> VideoVLM:
    """Return the trained model as it is kept: updates merged, numbers of the precision that it computes in."""
    if settings.lora is not None:
        if settings.lora.keep_adapter:
            save_adapter(model, settings.lora, settings.train, folder.adapter)
        merge_lora(model)
    return model.to(PRECISIONS[settings.precision])
