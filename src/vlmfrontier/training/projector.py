"""Stage 1 of published models: the projector learns to speak to the language model, from pictures with captions.

Once for each pair of a vision and a language model; every run with the pair starts from it. A picture is a video of one
frame. Each batch has its V, so that the projector is at home in every grid of the sweep.
"""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset
from transformers import set_seed

from vlmfrontier.data.conversations import Conversation, open_conversations
from vlmfrontier.data.failures import Failures
from vlmfrontier.data.frames import Reading
from vlmfrontier.errors import UserError
from vlmfrontier.models.build import check_parameters, save_model
from vlmfrontier.models.pretrained import assemble, read_language_config, read_tokenizer, read_vision_config
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study
from vlmfrontier.training.batches import encode_turns, pad_batch, parameter_groups
from vlmfrontier.training.examples import Frames, stacked, training_order
from vlmfrontier.training.loading import Loading
from vlmfrontier.training.loop import WHOLE_BATCHES, Layout, is_first, train
from vlmfrontier.training.state import TrainingState

SPLIT = "align"


class CaptionedPictures(Dataset):
    """Pictures and what is said about them at `order`, in batches that share a V drawn from `grids`."""

    def __init__(
        self,
        frames: Frames,
        conversations: Sequence[Conversation],
        order: list[int],
        prompt: PromptBuilder,
        grids: list[int],
        batch_size: int,
        seed: int,
    ):
        self.frames, self.conversations, self.order, self.prompt = frames, conversations, order, prompt
        self.grids, self.batch_size, self.seed = grids, batch_size, seed

    def __len__(self) -> int:
        return len(self.order)

    def tokens_of(self, batch: int) -> int:
        """Return V of batch number `batch`."""
        return int(np.random.default_rng([self.seed, 1, batch]).choice(self.grids)) ** 2

    def __getitem__(self, index: int) -> dict:
        conversation = self.conversations[self.order[index]]
        tokens = self.tokens_of(index // self.batch_size)
        encoded = encode_turns(self.prompt, tokens, conversation.turns, independent=False)
        return {"tokens_per_frame": tokens, **self.frames.read(conversation, 1, encoded)}

    def collate(self, examples: list[dict]) -> dict:
        """Return a padded batch with pixel_values (batch, 1, height, width, 3) uint8 and its V."""
        padded = pad_batch(examples, self.prompt.pad_token_id)
        return {"pixel_values": stacked(examples), "tokens_per_frame": examples[0]["tokens_per_frame"], **padded}


def published_model(study: Study, language: str, vision: str, results: ResultsFolder) -> tuple[VideoVLM, object]:
    """Return the models called `language` and `vision` with a new projector between them, and the tokenizer.

    Raises `UserError` if a tower is not there or is not the one that the study describes.
    """
    models, tower, text = study.models, study.models.towers[vision], study.models.language[language]
    folders = results.tower(models, tower), results.tower(models, text)
    keys = f"models.vision.{vision}".rstrip("."), f"models.language.{language}"
    tokenizer = read_tokenizer(folders[1], keys[1])
    configs = (
        read_vision_config(folders[0], tower, keys[0], models.attention),
        read_language_config(folders[1], text, keys[1], models.attention),
    )
    model = assemble(*configs, tokenizer, folders)
    check_parameters(model, models, language, vision)
    return model, tokenizer


def align_published(
    study: Study, language: str, vision: str, results: ResultsFolder, layout: Layout = WHOLE_BATCHES
) -> dict | None:
    """Run stage 1 of a pair of models, save the whole `VideoVLM` as the start of its runs and return the report.

    None in all processes but the first. Raises `UserError` if a tower or the pictures are not as the study says.
    """
    settings, seed, split = study.pretrain.align, study.pretrain.seed, results.split(SPLIT)
    set_seed(seed)
    model, tokenizer = published_model(study, language, vision, results)
    conversations = open_conversations(split)
    # Whole batches alone: what is left over would have to share a V with others.
    steps = len(conversations) * (settings.epochs or 1) // settings.batch_size
    if not steps:
        raise UserError(f"pretrain.align.batch_size = {settings.batch_size}: there are {len(conversations)} pictures")
    order = training_order(list(range(len(conversations))), settings.epochs or 1, seed)[: steps * settings.batch_size]
    name = study.models.start_name(language, vision)
    state = results.models / "state" / f"align-{name}"
    recipe = {"pair": name, "settings": settings.model_dump(), "seed": seed}
    training = TrainingState(state, recipe, is_first())
    failures = Failures(state / "decode_failures.jsonl", int(study.data.llava.failures * len(conversations)))
    if training.writer and not training.checkpoints():
        failures.clear()
    examples = CaptionedPictures(
        Frames(split, study.models.towers[vision].image_size, Reading.of(study.data), failures),
        conversations,
        order,
        PromptBuilder(tokenizer),
        settings.grids,
        settings.batch_size,
        seed,
    )
    summary = train(
        model,
        examples,
        examples.collate,
        parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, language)),
        settings,
        training,
        steps=steps,
        seed=seed,
        label=f"align {name}",
        layout=layout,
        loading=Loading.of(study),
    )
    if not is_first():
        return None
    save_model(summary.model, tokenizer, results.models / name)
    return {
        "steps": summary.steps,
        "loss": summary.loss,
        "seconds": round(summary.seconds, 2),
        "decode_failures": failures.count(),
        "recipe": recipe,
    }
