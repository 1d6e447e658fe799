"""Stage 1: projector and language model learn to read the frozen tower, for every V of a sweep.

Most batches are still frames, as in the paper's stage 1, which knows no video; a few are videos, without which models
of this size stay at chance in what happens over time until late in their finetuning.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedTokenizerBase, set_seed

from vlmfrontier.data.digits.build import scene_and_questions
from vlmfrontier.data.digits.scene import NUM_FRAMES, ask, ask_frame
from vlmfrontier.data.sampling import sample_frames
from vlmfrontier.files import weights_hash
from vlmfrontier.models.build import build_model, digits_tokenizer
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.models.vision import normalise
from vlmfrontier.models.weights import save_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study
from vlmfrontier.study.training import Alignment
from vlmfrontier.training.curves import Curves
from vlmfrontier.training.examples import encode_turns, pad_batch
from vlmfrontier.training.loop import parameter_groups, train
from vlmfrontier.training.state import Stage, TrainingState, run_if_needed

SPLIT = "align"


def features_of(results: ResultsFolder) -> Path:
    """Return the file of what the frozen tower sees in the frames of stage 1."""
    return results.split(SPLIT) / "features.npy"


@torch.no_grad()
def encode_split(tower_folder: Path, split_folder: Path, output: Path, videos_per_batch: int = 8) -> None:
    """Write what the frozen tower sees in every frame of a split to `output`: (videos, 32, W, width) float16.

    The tower is the same for all language models, so its features are computed once.
    """
    tower = AutoModel.from_pretrained(tower_folder, local_files_only=True).eval()
    frames = np.load(split_folder / "frames.npy", mmap_mode="r")
    count = len(frames) // NUM_FRAMES
    shape = (count, NUM_FRAMES, (tower.config.image_size // tower.config.patch_size) ** 2, tower.config.hidden_size)
    temporary = output.with_suffix(".part.npy")
    store = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
    for first in range(0, count, videos_per_batch):
        last = min(count, first + videos_per_batch)
        pixels = normalise(torch.from_numpy(np.array(frames[first * NUM_FRAMES : last * NUM_FRAMES])))
        store[first:last] = (
            tower(pixel_values=pixels).last_hidden_state.half().numpy().reshape(last - first, *shape[1:])
        )
    store.flush()
    temporary.rename(output)


@dataclass(frozen=True)
class BatchShape:
    """What the examples of one batch have in common."""

    video: bool
    """A video with the questions about videos, or a still frame with those that a frame answers."""
    frames: int
    tokens_per_frame: int


class AlignmentExamples(Dataset):
    """Features of random still frames, and of some videos, with newly drawn questions; each batch has its T and V."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, settings: Alignment, features: np.ndarray, scene_seed: int, seed: int
    ):
        self.settings, self.features, self.scene_seed, self.seed = settings, features, scene_seed, seed
        self.tokenizer, self.prompt = tokenizer, PromptBuilder(tokenizer)

    def __len__(self) -> int:
        return self.settings.steps * self.settings.batch_size

    def shape_of(self, batch: int) -> BatchShape:
        """Return the shape of batch number `batch`, drawn again while T·V is over the limit.

        log T is uniform, as sweeps space T: many long videos would cost most of the time and teach little more.
        """
        rng = np.random.default_rng([self.seed, 1, batch])
        video = bool(rng.random() < self.settings.video_share)
        while True:
            frames = int(np.exp(rng.uniform(0, np.log(self.settings.max_frames + 1)))) if video else 1
            tokens = int(rng.choice(self.settings.grids)) ** 2
            if frames * tokens <= self.settings.max_tokens:
                return BatchShape(video, frames, tokens)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, 2, index])
        number = int(rng.integers(len(self.features)))
        scene, _ = scene_and_questions(SPLIT, number, self.scene_seed)
        shape = self.shape_of(index // self.settings.batch_size)
        if shape.video:
            frames, questions = sample_frames(NUM_FRAMES, shape.frames), ask(scene, rng)
        else:
            frames = rng.integers(NUM_FRAMES, size=1)
            questions = ask_frame(scene, int(frames[0]), rng)
        turns = [(q.question, q.answer) for q in questions]
        encoded = encode_turns(self.prompt, shape.frames * shape.tokens_per_frame, turns, independent=True)
        return {"features": self.features[number][frames], "tokens_per_frame": shape.tokens_per_frame, **encoded}

    def collate(self, examples: list[dict]) -> dict:
        """Return a padded batch with features (batch, T, W, width) and its V."""
        batch = pad_batch(examples, self.tokenizer.pad_token_id)
        features = torch.from_numpy(np.stack([e["features"] for e in examples])).float()
        return {"features": features, "tokens_per_frame": examples[0]["tokens_per_frame"], **batch}


def features_loss(model: VideoVLM, batch: dict) -> torch.Tensor:
    """Return the loss of the answers behind features that the tower gave earlier."""
    visual = model.project(batch["features"], batch["tokens_per_frame"])
    embeddings = model.embed(batch["input_ids"], visual)
    return model(inputs_embeds=embeddings, labels=batch["labels"], segments=batch["segments"]).loss


def align(study: Study, language: str, results: ResultsFolder, force: str | None = None) -> dict:
    """Run stage 1 for `language` unless it has been, save the whole `VideoVLM` to `models/<language>` and return its
    report."""
    decided = {
        "language": language,
        "settings": study.pretrain.align.model_dump(),
        "seed": study.pretrain.seed,
        "towers": [weights_hash(results.models / part) for part in ("vision", f"language/{language}")],
    }
    stage = Stage.of_start(results.models, f"align {language}", language)
    return run_if_needed(stage, lambda: decided, lambda state: _align(study, language, results, stage, state), force)


def _align(study: Study, language: str, results: ResultsFolder, stage: Stage, state: TrainingState) -> dict:
    settings, seed, models = study.pretrain.align, study.pretrain.seed, results.models
    set_seed(seed)
    tokenizer = digits_tokenizer()
    model = build_model(study.models, language, tokenizer, tokens_per_frame=1)
    tower = AutoModel.from_pretrained(models / "vision", local_files_only=True)
    text = AutoModelForCausalLM.from_pretrained(models / "language" / language, local_files_only=True)
    model.vision.load_state_dict(tower.state_dict())
    model.language.load_state_dict(text.state_dict())
    groups = parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, language))
    # Whole into memory (1.6 GB for 6,000 videos): each step reads scattered pages, which a disk would dominate.
    examples = AlignmentExamples(tokenizer, settings, np.load(features_of(results)), seed, seed)
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
        loss=features_loss,
        curves=Curves.of(study, state.folder, stage.name),
    )
    save_model(model, tokenizer, stage.model)
    return summary.report()
