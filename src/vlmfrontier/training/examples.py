"""Examples: a video's frames and the turns of its conversation, in the order of training, as the tensors of a batch.

A run's n examples are the first n of one seeded order: nested subsets. There is one way in which any stage packs its
examples.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from vlmfrontier.data.conversations import Conversation
from vlmfrontier.data.frames import FrameReader, Reading
from vlmfrontier.data.problems import Failures, VideoError
from vlmfrontier.errors import UserError
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import IGNORED, PADDING
from vlmfrontier.models.vision import resize
from vlmfrontier.study.data import DataConfig
from vlmfrontier.sweep.points import Drawn
from vlmfrontier.training.state import TrainingState


def nested_subset(ids: Sequence[str], n: int, seed: int, sources: np.ndarray | None = None) -> list[int]:
    """Return the positions in `ids` of the `n` examples for `seed`; a smaller n gives the head of a larger one's.

    The order depends on ids and sources alone, not on their order in the file. Where `sources` numbers the source of
    every id, each n has the sources' shares as nearly as whole examples allow: source s with m of all examples has its
    j-th at (j + ½) / m of the way. Raises `UserError` if there are fewer than n.
    """
    if n > len(ids):
        raise UserError(f"{n:,} examples asked for, but the training data has {len(ids):,}; lower n or add data")
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    shuffled = by_id[np.random.default_rng([seed, 20250518]).permutation(len(ids))]
    order = shuffled if sources is None else _interleaved(shuffled, np.asarray(sources))
    return order[:n].tolist()


def _interleaved(shuffled: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return `shuffled` reordered so that every head has the sources' shares; within a source the order stays."""
    of = sources[shuffled]
    way = np.empty(len(shuffled))
    for source in np.unique(of):
        places = np.flatnonzero(of == source)
        way[places] = (np.arange(len(places)) + 0.5) / len(places)
    # Sources whose examples fall on the same place take turns by the shuffled order.
    return shuffled[np.argsort(way, kind="stable")]


def subset_hash(ids: Sequence[str]) -> str:
    """Return a short hash of the set of `ids`, the same whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


Turn = tuple[str, str]


def encode_turns(
    prompt: PromptBuilder, num_video_tokens: int, turns: Sequence[Turn], independent: bool
) -> dict[str, np.ndarray]:
    """Return input_ids and labels of `num_video_tokens` places followed by `turns`, and segments of independent ones.

    Independent turns get segments 1, 2, …: they see the video and not each other. Otherwise there are no segments:
    attention is plainly causal over the whole conversation, which needs no mask and any implementation can do.
    """
    ids = prompt.prefix(num_video_tokens)
    labels, segments = [IGNORED] * len(ids), [0] * len(ids)
    if not independent:
        after, supervised = prompt.conversation(turns)
        return {"input_ids": np.array(ids + after), "labels": np.array(labels + supervised)}
    for number, (question, answer) in enumerate(turns, start=1):
        turn_ids, turn_labels = prompt.turn(question, answer)
        ids += turn_ids
        labels += turn_labels
        segments += [number] * len(turn_ids)
    return {"input_ids": np.array(ids), "labels": np.array(labels), "segments": np.array(segments)}


def pad_batch(examples: Sequence[dict[str, np.ndarray]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Return the encoded `examples` padded on the right to one length: input_ids, labels and, if they have them,
    segments (batch, length).

    Causal attention never looks to the right, so that padding needs no mask.
    """
    length = max(len(e["input_ids"]) for e in examples)
    fill = {"input_ids": pad_token_id, "labels": IGNORED, "segments": PADDING}
    batch = {}
    for key in [key for key in fill if key in examples[0]]:
        rows = np.full((len(examples), length), fill[key], np.int64)
        for row, example in zip(rows, examples, strict=True):
            row[: len(example[key])] = example[key]
        batch[key] = torch.from_numpy(rows)
    return batch


class WithFillers(Dataset):
    """The examples of `data`; at `~place` the example there, supervising nothing."""

    def __init__(self, data: Dataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, place: int) -> dict:
        if place >= 0:
            return self.data[place]
        example = self.data[~place]
        return {**example, "labels": np.full_like(example["labels"], IGNORED)}


def training_order(
    subset: list[int],
    epochs: int,
    seed: int,
    lengths: np.ndarray | None = None,
    batch_size: int = 1,
    length_groups: int = 1,
) -> list[int]:
    """Return the positions of all examples in the order of training: `subset` shuffled anew for every epoch.

    With `length_groups` above 1, so many batches at a time are sorted by their examples' `lengths` (of all positions)
    and then shuffled as batches: examples of a batch are of like length and less padding is computed.
    """
    orders = [np.random.default_rng([seed, 1, epoch]).permutation(subset) for epoch in range(epochs)]
    order = np.concatenate(orders)
    if length_groups > 1:
        order = _grouped(order, lengths[order], batch_size, length_groups, np.random.default_rng([seed, 2]))
    return order.tolist()


def _grouped(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, length_groups: int, rng: np.random.Generator
) -> np.ndarray:
    """Return `order` with the batches of each group sorted by length; a batch that is not full stays the last."""
    size, parts = batch_size * length_groups, []
    for first in range(0, len(order), size):
        group = order[first : first + size][np.argsort(lengths[first : first + size], kind="stable")]
        whole = len(group) // batch_size * batch_size
        batches = group[:whole].reshape(-1, batch_size)
        parts += [batches[rng.permutation(len(batches))].ravel(), group[whole:]]
    return np.concatenate(parts)


class Frames:
    """The frames of a split's videos at the tower's size; what cannot be decoded is a loss, and counted.

    Nothing takes the place of a lost example: it stays where it is in its batch, supervises nothing and is named in
    `failures`. Without these it is an error.
    """

    def __init__(self, folder: Path, image_size: int, reading: Reading, failures: Failures | None = None):
        self.reader = FrameReader(folder, reading, partial(resize, side=image_size))
        self.image_size, self.failures = image_size, failures

    def read(self, conversation: Conversation, wanted: int, encoded: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return `encoded` with `wanted` frames (wanted, image_size, image_size, 3) of the conversation's video."""
        try:
            return {"frames": self.reader.read(conversation.video, wanted), **encoded}
        except VideoError as error:
            if self.failures is None:
                raise
            self.failures.add(conversation.id, error)
        black = np.zeros((wanted, self.image_size, self.image_size, 3), np.uint8)
        return {"frames": black, **encoded, "labels": np.full_like(encoded["labels"], IGNORED)}


def counted_frames(data: DataConfig, split: Path, image_size: int, state: TrainingState, examples: int) -> Frames:
    """Return the frames of `split` for a training over so many examples; those lost are counted beside its state.

    A training that begins anew forgets what an earlier one lost.
    """
    failures = Failures(state.folder / "decode_failures.jsonl", int(data.llava.failures * examples))
    if state.writer and not state.checkpoints():
        failures.clear()
    return Frames(split, image_size, Reading.of(data), failures)


class VideoShape(NamedTuple):
    """What all examples of one step have in common."""

    frames: int
    tokens_per_frame: int


class Examples(Dataset):
    """The conversations at `order`, each behind frames of its video; subclasses say the shape of each step.

    What a step has does not depend on who takes which of its `batch_size` examples: on micro-batches, processes and
    workers, and on where a training went on.
    """

    independent = False
    """Whether turns of a conversation do not see each other."""

    def __init__(
        self,
        frames: Frames,
        conversations: Sequence[Conversation],
        order: list[int],
        prompt: PromptBuilder,
        batch_size: int,
        seed: int,
    ):
        self.frames, self.conversations, self.order, self.prompt = frames, conversations, order, prompt
        self.batch_size, self.seed = batch_size, seed

    def shape_of(self, step: int) -> VideoShape:
        """Return T and V of all examples of step number `step`, from 0."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict:
        """Return an example with the frames of its step, and places for what is seen in them."""
        conversation, shape = self.conversations[self.order[index]], self.shape_of(index // self.batch_size)
        places = shape.frames * shape.tokens_per_frame
        encoded = encode_turns(self.prompt, places, conversation.turns, self.independent)
        example = self.frames.read(conversation, shape.frames, encoded)
        return {"tokens_per_frame": shape.tokens_per_frame, **example}

    def collate(self, examples: list[dict]) -> dict:
        """Return a padded batch with pixel_values (batch, T, height, width, 3) in whole numbers and its V.

        A fourth of what floats would take on their way to the GPU.
        """
        pixels = torch.from_numpy(np.stack([e["frames"] for e in examples]))
        batch = pad_batch(examples, self.prompt.pad_token_id)
        return {"pixel_values": pixels, "tokens_per_frame": examples[0]["tokens_per_frame"], **batch}


class VideoConversations(Examples):
    """Conversations about videos, in T frames of V tokens that each step draws from `levels`."""

    def __init__(self, *given, levels: Drawn, independent: bool, **settings):
        super().__init__(*given, **settings)
        self.levels, self.independent = levels, independent

    def shape_of(self, step: int) -> VideoShape:
        frames, tokens = (level_of(step, levels, [self.seed, 3, i]) for i, levels in enumerate(self.levels))
        return VideoShape(frames, tokens)


def level_of(step: int, levels: Sequence[int], seed: Sequence[int]) -> int:
    """Return the level of a step, drawn in rounds: as many steps as there are levels have each of them once.

    So all levels are seen equally often, and a training takes the mean of what they take, also if it is short.
    """
    if len(levels) == 1:
        return levels[0]
    number, place = divmod(step, len(levels))
    return int(np.random.default_rng([*seed, number]).permutation(levels)[place])
