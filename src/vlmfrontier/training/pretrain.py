"""Pretraining of the digits study's towers.

Of the vision tower: a token of a k×k grid must tell, linearly, what stands in every cell it overlaps. The grids go
through the model's own downsampling, so that the tower learns to spread what it sees to where plain bilinear
interpolation will read it, for every V = k² that a sweep may ask for.

Of a language model: answer the study's questions from a written transcript of a scene. A transcript stands where the
visual tokens will stand later. Each of its places is the sum of the embeddings of three words, a colour, a digit and a
cell, much as a visual token holds several things at once; places are scattered, so that the model learns to look for
content and not for positions.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.data import Dataset
from transformers import AutoModel, PreTrainedTokenizerBase, SiglipVisionModel, set_seed

from vlmfrontier.data.digits.build import background, paint_digit, paint_square
from vlmfrontier.data.digits.scene import (
    CELL_NAMES,
    CELLS_PER_SIDE,
    FRAME_SIZE,
    LAYOUT,
    NUM_FRAMES,
    NUM_VALUES,
    SQUARE_SIZE,
    Digit,
    Scene,
    ask,
    cell_at,
    sample_scene,
)
from vlmfrontier.data.sampling import sample_frames
from vlmfrontier.models.build import build_model, digits_tokenizer, vision_config
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.models.vision import downsample, normalise
from vlmfrontier.study.root import Study
from vlmfrontier.training.curves import Curves
from vlmfrontier.training.examples import encode_turns, pad_batch
from vlmfrontier.training.loop import parameter_groups, train
from vlmfrontier.training.state import Stage, TrainingState, run_if_needed

NUM_CELLS = CELLS_PER_SIDE**2
COLOURS = ("white", "red", "blue", "yellow")
NUM_CONTENTS = 1 + NUM_VALUES * len(COLOURS)  # empty, or a digit of a colour
MIN_OVERLAP = 0.35  # of the smaller of token and cell, along each axis


def overlapping(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pairs (token, cell) that overlap for a grid of `side`: two index vectors."""
    token, cell = np.arange(side)[:, None], np.arange(CELLS_PER_SIDE)[None, :]
    overlap = np.minimum((token + 1) / side, (cell + 1) / CELLS_PER_SIDE) - np.maximum(
        token / side, cell / CELLS_PER_SIDE
    )
    along = overlap > MIN_OVERLAP * min(1 / side, 1 / CELLS_PER_SIDE)
    both = (along[:, None, :, None] & along[None, :, None, :]).reshape(side**2, NUM_CELLS)
    tokens, cells = np.nonzero(both)
    return torch.from_numpy(tokens), torch.from_numpy(cells)


def soften_colour(pixels: torch.Tensor) -> torch.Tensor:
    """Return `pixels` (batch, 3, height, width) with colour at half resolution, as H.264's 4:2:0 stores it."""
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    brightness = (pixels * weights).sum(1, keepdim=True)
    colour = F.interpolate(F.avg_pool2d(pixels - brightness, 2), scale_factor=2)
    return brightness + colour


class StillFrames(Dataset):
    """Random frames with the content of each cell; example i depends on the seed and i alone.

    All digits are there, also those that language models meet only in finetuning: a tower sees more than is named.
    """

    def __init__(self, count: int, seed: int, images: str = "train"):
        self.count, self.seed, self.images = count, seed, images

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, index])
        frame, contents, square = background(rng), np.zeros(NUM_CELLS, np.int64), np.zeros(NUM_CELLS, np.float32)
        if rng.random() < 0.85:
            y, x = (int(p) for p in rng.integers(0, FRAME_SIZE - SQUARE_SIZE + 1, 2))
            paint_square(frame, (y, x))
            square[cell_at(y + SQUARE_SIZE / 2, x + SQUARE_SIZE / 2)] = 1
        for cell in rng.permutation(NUM_CELLS)[: rng.integers(2, 11)]:
            value, colour = int(rng.integers(NUM_VALUES)), int(rng.integers(len(COLOURS)))
            paint_digit(frame, Digit(value, int(cell), COLOURS[colour], 0, 1), self.images, rng)
            contents[cell] = 1 + NUM_VALUES * colour + value
        return {"frame": frame.clip(0, 255).astype(np.uint8), "contents": contents, "square": square}


def collate_frames(examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return a batch: normalised pixels (batch, 3, height, width), contents and square of the cells (batch, cells)."""
    stacked = {key: torch.from_numpy(np.stack([e[key] for e in examples])) for key in examples[0]}
    pixels = normalise(stacked["frame"])
    noise = 0.03 * torch.randn(pixels.shape)
    return {"pixels": soften_colour(pixels) + noise, "contents": stacked["contents"], "square": stacked["square"]}


class CellReader(nn.Module):
    """A tower with linear heads, one for each grid and cell, that read the cell's content off an overlapping token."""

    def __init__(self, vision: SiglipVisionModel, grids: list[int]):
        super().__init__()
        self.vision = vision
        width = vision.config.hidden_size
        self.heads = nn.ParameterDict(
            {str(k): nn.Parameter(torch.randn(NUM_CELLS, width, NUM_CONTENTS + 1) * 0.5 * width**-0.5) for k in grids}
        )
        self.bias = nn.Parameter(torch.zeros(NUM_CONTENTS + 1))
        self.pairs = {k: overlapping(k) for k in grids}

    def read(self, features: torch.Tensor, side: int) -> torch.Tensor:
        """Return logits (batch, pairs, contents + 1) from `features` (batch, W, width) through the grid of `side`."""
        tokens, cells = self.pairs[side]
        seen = downsample(features, side**2)[:, tokens].transpose(0, 1)
        return torch.bmm(seen, self.heads[str(side)][cells]).transpose(0, 1) + self.bias

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vision(pixel_values=pixels).last_hidden_state


def cell_loss(reader: CellReader, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss summed over the grids: cross-entropy of the contents, and a little for the square."""
    features = reader(batch["pixels"])
    total = features.new_zeros(())
    for side, (_, cells) in reader.pairs.items():
        logits = reader.read(features, side)
        contents = F.cross_entropy(logits[..., :NUM_CONTENTS].flatten(0, 1), batch["contents"][:, cells].flatten())
        square = F.binary_cross_entropy_with_logits(logits[..., NUM_CONTENTS], batch["square"][:, cells])
        total = total + contents + 0.3 * square
    return total


@torch.no_grad()
def cell_accuracy(reader: CellReader, batch: dict[str, torch.Tensor]) -> dict[int, float]:
    """Return for each V = k² the share of digits whose value and colour are read right."""
    features = reader(batch["pixels"])
    shares = {}
    for side, (_, cells) in reader.pairs.items():
        truth = batch["contents"][:, cells]
        read = reader.read(features, side)[..., :NUM_CONTENTS].argmax(-1)
        shares[side**2] = float((read == truth)[truth > 0].float().mean())
    return shares


def pretrain_vision(study: Study, models: Path, force: str | None = None) -> dict:
    """Pretrain the tower of `study` unless it has been, save it to `models/vision` and return its report."""
    settings, seed = study.pretrain.vision, study.pretrain.seed
    decided = {"vision": study.models.vision.model_dump(), "settings": settings.model_dump(), "seed": seed}
    stage = Stage.of_start(models, "vision", "vision")
    return run_if_needed(stage, lambda: decided, lambda state: _pretrain_vision(study, stage.model, state), force)


def _pretrain_vision(study: Study, folder: Path, state: TrainingState) -> dict:
    settings, seed = study.pretrain.vision, study.pretrain.seed
    set_seed(seed)
    tower = AutoModel.from_config(vision_config(study.models.vision, study.models.attention))
    reader = CellReader(tower, settings.grids)
    summary = train(
        reader,
        StillFrames(settings.steps * settings.batch_size, seed),
        collate_frames,
        [{"params": list(reader.parameters()), "lr": settings.learning_rate}],
        settings,
        state,
        steps=settings.steps,
        seed=seed,
        label="vision",
        loss=cell_loss,
        curves=Curves.of(study, state.folder, "vision"),
    )
    unseen = StillFrames(300, seed + 1, images="dev")
    accuracy = cell_accuracy(reader, collate_frames([unseen[i] for i in range(len(unseen))]))
    tower.save_pretrained(folder)
    return {**summary.report(), "digits_read_right": accuracy}


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
        scene = sample_scene(rng, LAYOUT.familiar)
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


def pretrain_language(study: Study, language: str, models: Path, force: str | None = None) -> dict:
    """Pretrain the language model called `language` unless it has been, save it to `models/language/<language>` and
    return its report."""
    settings, seed = study.pretrain.language, study.pretrain.seed
    shape = study.models.language[language].model_dump()
    decided = {"language": shape, "settings": settings.model_dump(), "seed": seed}
    stage = Stage.of_start(models, f"language {language}", f"language/{language}")
    return run_if_needed(stage, lambda: decided, lambda state: _pretrain_language(study, language, stage, state), force)


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
        curves=Curves.of(study, state.folder, stage.name),
    )
    model.language.save_pretrained(stage.model)
    tokenizer.save_pretrained(stage.model)
    return summary.report()
