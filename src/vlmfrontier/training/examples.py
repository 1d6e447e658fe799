"""Finetuning examples: a video's frames and the turns of its conversation, in the order of training."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vlmfrontier.data.conversations import Conversation
from vlmfrontier.data.failures import Failures
from vlmfrontier.data.frames import FrameReader, Reading
from vlmfrontier.data.problems import VideoError
from vlmfrontier.models.frames import resize
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import IGNORED
from vlmfrontier.training.batches import encode_turns, pad_batch


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


class VideoConversations(Dataset):
    """The conversations at `order`, each with T = `frames_per_video` frames of its video out of `frames`."""

    def __init__(
        self,
        frames: Frames,
        conversations: Sequence[Conversation],
        order: list[int],
        prompt: PromptBuilder,
        frames_per_video: int,
        tokens_per_frame: int,
        independent: bool,
    ):
        self.frames, self.conversations, self.order, self.prompt = frames, conversations, order, prompt
        self.frames_per_video, self.tokens_per_frame, self.independent = frames_per_video, tokens_per_frame, independent

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        conversation = self.conversations[self.order[index]]
        places = self.frames_per_video * self.tokens_per_frame
        encoded = encode_turns(self.prompt, places, conversation.turns, self.independent)
        return self.frames.read(conversation, self.frames_per_video, encoded)

    def collate(self, examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Return a padded batch with pixel_values (batch, T, height, width, 3) uint8."""
        return {"pixel_values": stacked(examples), **pad_batch(examples, self.prompt.pad_token_id)}


def stacked(examples: list[dict[str, np.ndarray]]) -> torch.Tensor:
    """Return the frames of a batch in whole numbers: a fourth of what floats would take on their way to the GPU."""
    return torch.from_numpy(np.stack([e["frames"] for e in examples]))
