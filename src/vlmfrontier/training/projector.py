"""Stage 1 of published models: the projector learns to speak to the language model, from images with captions.

Once for each pair of a vision and a language model; every run with the pair starts from it. An image is a video of one
frame. Each batch has its V, so that the projector is at home in every grid of the sweep.
"""

import numpy as np
from transformers import PreTrainedTokenizerBase, set_seed

from vlmfrontier.data.conversations import open_conversations
from vlmfrontier.errors import UserError
from vlmfrontier.files import weights_hash
from vlmfrontier.models.build import check_parameters
from vlmfrontier.models.pretrained import assemble, read_language_config, read_tokenizer, read_vision_config
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.models.weights import save_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.records import read_manifest
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import deciding
from vlmfrontier.training.curves import Curves
from vlmfrontier.training.examples import Examples, VideoShape, counted_frames, training_order
from vlmfrontier.training.loop import parameter_groups, train
from vlmfrontier.training.processes import WHOLE_BATCHES, BatchPlan, Loading, num_processes
from vlmfrontier.training.state import Stage, TrainingState, run_if_needed

SPLIT = "align"


class CaptionedImages(Examples):
    """Images and what is said about them, in batches that share a V drawn from `grids`."""

    def __init__(self, *given, grids: list[int], **settings):
        super().__init__(*given, **settings)
        self.grids = grids

    def shape_of(self, step: int) -> VideoShape:
        return VideoShape(1, int(np.random.default_rng([self.seed, 1, step]).choice(self.grids)) ** 2)


def published_model(
    models: ModelsConfig, language: str, vision: str, results: ResultsFolder
) -> tuple[VideoVLM, PreTrainedTokenizerBase]:
    """Return the models called `language` and `vision` with a new projector between them, and the tokenizer.

    Raises `UserError` if a tower is not there or is not the one that the study describes.
    """
    tower, text = models.towers[vision], models.language[language]
    folders = results.tower(models, tower), results.tower(models, text)
    keys = f"models.vision.{vision}".rstrip("."), f"models.language.{language}"
    configs = (
        read_vision_config(folders[0], tower, keys[0], models.attention),
        read_language_config(folders[1], text, keys[1], models.attention),
    )
    tokenizer = read_tokenizer(folders[1], keys[1], configs[1].vocab_size)
    model = assemble(*configs, tokenizer, folders)
    check_parameters(model, models, language, vision)
    return model, tokenizer


def align_published(
    study: Study,
    language: str,
    vision: str,
    results: ResultsFolder,
    plan: BatchPlan = WHOLE_BATCHES,
    force: str | None = None,
) -> dict | None:
    """Run stage 1 of a pair of models unless it has been; save the whole `VideoVLM` as the start of its runs.

    Returns the report, None in all processes but the first. Raises `UserError` if a tower or the images are not as
    the study says.
    """
    name = study.models.start_name(language, vision)
    return run_if_needed(
        Stage.of_start(results.models, f"align {name}", name),
        lambda: alignment_settings(study, language, vision, results),
        lambda state: _align(study, language, vision, results, plan, state),
        force,
    )


def alignment_settings(study: Study, language: str, vision: str, results: ResultsFolder) -> dict:
    """Return everything that decides what stage 1 of a pair makes."""
    manifest = read_manifest(results.split(SPLIT))
    models = study.models
    towers = models.towers[vision], models.language[language]
    tokenizer = read_tokenizer(results.tower(models, towers[1]), f"models.language.{language}")
    return {
        "pair": models.start_name(language, vision),
        "seed": study.pretrain.seed,
        "settings": deciding(study.pretrain.align),
        "attention": models.attention,
        "pictures": manifest["hash_videos"],
        "conversations": manifest["hash_conversations"],
        "towers": [weights_hash(results.tower(models, tower)) for tower in towers],
        "shared": num_processes() > 1,
        **PromptBuilder(tokenizer).settings(),
    }


def _align(
    study: Study, language: str, vision: str, results: ResultsFolder, plan: BatchPlan, state: TrainingState
) -> dict | None:
    settings, seed, split = study.pretrain.align, study.pretrain.seed, results.split(SPLIT)
    name = study.models.start_name(language, vision)
    curves = Curves.of(study, state.folder, f"align {name}")
    set_seed(seed)
    model, tokenizer = published_model(study.models, language, vision, results)
    conversations = open_conversations(split)
    # Whole batches alone: what is left over would have to share a V with others.
    steps = len(conversations) * (settings.epochs or 1) // settings.batch_size
    if not steps:
        raise UserError(f"pretrain.align.batch_size = {settings.batch_size}: there are {len(conversations)} images")
    order = training_order(list(range(len(conversations))), settings.epochs or 1, seed)[: steps * settings.batch_size]
    image_size = study.models.towers[vision].image_size
    frames = counted_frames(study.data, split, image_size, state, len(conversations))
    examples = CaptionedImages(
        frames,
        conversations,
        order,
        PromptBuilder(tokenizer),
        grids=settings.grids,
        batch_size=settings.batch_size,
        seed=seed,
    )
    summary = train(
        model,
        examples,
        examples.collate,
        parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, language)),
        settings,
        state,
        steps=steps,
        seed=seed,
        label=f"align {name}",
        plan=plan,
        loading=Loading.of(study.execution, study.data),
        curves=curves,
    )
    if not state.writer:
        return None
    state.check()
    save_model(summary.model, tokenizer, results.models / name)
    return {**summary.report(), "decode_failures": frames.failures.count()}
