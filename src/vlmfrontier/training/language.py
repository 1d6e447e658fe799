"""Pretraining of a language model: answer the study's questions from a written transcript of a scene.

A transcript stands where the visual tokens will stand later. Each of its places is the sum of the embeddings of three
words, a colour, a digit and a cell, much as a visual token holds several things at once; places are scattered, so that
the model learns to look for content and not for positions.
"""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase, set_seed

from vlmfrontier.data.digits.scene import CELL_NAMES, NUM_FRAMES, Scene, ask, sample_scene
from vlmfrontier.data.sampling import sample_frames
from vlmfrontier.models.build import build_model, digits_tokenizer
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.study.root import Study
from vlmfrontier.training.batches import encode_turns, pad_batch, parameter_groups
from vlmfrontier.training.loop import train
from vlmfrontier.training.once import Stage, train_once
from vlmfrontier.training.state import TrainingState

WORDS_PER_PLACE = 3


def transcript(scene: Scene, frames: int) -> list[tuple[str, ...]]:
    """Return what `frames` sampled frames show, in order: (colour, digit, cell) or (green, cell)."""
    told: list[tuple[str, ...]] = []
    for time in sample_frames(NUM_FRAMES, frames):
        seen = [
            (d.cell, (d.colour, str(d.value), CELL_NAMES[d.cell])) for d in scene.digits if d.start <= time < d.stop
        ]
        square = scene.square_cell(int(time))
        seen.append((square, ("green", CELL_NAMES[square])))
        told += [words for _, words in sorted(seen)]
    return told


class Transcripts(Dataset):
    """Random scenes as transcripts with all questions; example i depends on the seed and i alone."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, count: int, length: int, max_frames: int, seed: int):
        self.tokenizer, self.count, self.length, self.max_frames, self.seed = tokenizer, count, length, max_frames, seed
        self.prompt = PromptBuilder(tokenizer)
        self.word_ids = tokenizer.get_vocab()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, index])
        scene = sample_scene(rng)
        turns = [(q.question, q.answer) for q in ask(scene, rng)]
        told = transcript(scene, int(rng.integers(1, self.max_frames + 1)))[-self.length :]
        places = np.full((self.length, WORDS_PER_PLACE), self.tokenizer.pad_token_id)
        for place, words in zip(np.sort(rng.permutation(self.length)[: len(told)]), told, strict=True):
            places[place, : len(words)] = [self.word_ids[w] for w in words]
        return {"transcript": places, **encode_turns(self.prompt, self.length, turns, independent=True)}

    def collate(self, examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Return a padded batch with the transcripts (batch, length, 3)."""
        batch = pad_batch(examples, self.tokenizer.pad_token_id)
        return {"transcript": torch.from_numpy(np.stack([e["transcript"] for e in examples])), **batch}


def transcript_loss(model: VideoVLM, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss of the answers, transcripts standing where visual tokens would."""
    words = batch["transcript"]
    visual = (model.get_input_embeddings()(words) * (words != model.config.pad_token_id)[..., None]).sum(2)
    embeddings = model.embed(batch["input_ids"], visual)
    return model(inputs_embeds=embeddings, labels=batch["labels"], segments=batch["segments"]).loss


def pretrain_language(study: Study, language: str, models: Path, again: str | None = None) -> dict:
    """Pretrain the language model called `language` unless it has been, save it to `models/language/<language>` and
    return its report."""
    settings, seed = study.pretrain.language, study.pretrain.seed
    shape = study.models.language[language].model_dump()
    recipe = {"language": shape, "settings": settings.model_dump(), "seed": seed}
    stage = Stage.of_start(models, f"language {language}", f"language/{language}")
    return train_once(stage, lambda: recipe, lambda state: _pretrain_language(study, language, stage, state), again)


def _pretrain_language(study: Study, language: str, stage: Stage, state: TrainingState) -> dict:
    settings, seed = study.pretrain.language, study.pretrain.seed
    set_seed(seed)
    tokenizer = digits_tokenizer()
    model = build_model(study.models, language, tokenizer, tokens_per_frame=1)
    rate = settings.learning_rate
    groups = parameter_groups(model, ["language"], lambda _: rate[language] if isinstance(rate, dict) else rate)
    examples = Transcripts(
        tokenizer, settings.steps * settings.batch_size, settings.transcript_length, settings.max_frames, seed
    )
    summary = train(
        model,
        examples,
        examples.collate,
        groups,
        settings,
        state,
        steps=settings.steps,
        seed=seed,
        label=stage.name,
        loss=transcript_loss,
    )
    model.language.save_pretrained(stage.model)
    tokenizer.save_pretrained(stage.model)
    return summary.report()
