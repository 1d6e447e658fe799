"""Examples: a video's frames and the turns of its conversation, in the order of training."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vlmfrontier.data.conversations import Conversation
from vlmfrontier.data.frames import FrameReader, Reading
from vlmfrontier.data.problems import Failures, VideoError
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import IGNORED
from vlmfrontier.models.vision import resize
from vlmfrontier.study.root import Study
from vlmfrontier.training.batches import encode_turns, pad_batch
from vlmfrontier.training.state import TrainingState


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


def counted_frames(study: Study, split: Path, vision: str, state: TrainingState, examples: int) -> Frames:
    """Return the frames of `split` for a training over so many examples; those lost are counted beside its state.

    A training that begins anew forgets what an earlier one lost.
    """
    failures = Failures(state.folder / "decode_failures.jsonl", int(study.data.llava.failures * examples))
    if state.writer and not state.checkpoints():
        failures.clear()
    return Frames(split, study.models.towers[vision].image_size, Reading.of(study.data), failures)


class Examples(Dataset):
    """The conversations at `order`, each behind frames of its video; subclasses say how many frames and tokens."""

    def __init__(self, frames: Frames, conversations: Sequence[Conversation], order: list[int], prompt: PromptBuilder):
        self.frames, self.conversations, self.order, self.prompt = frames, conversations, order, prompt

    def __len__(self) -> int:
        return len(self.order)

    def example(self, index: int, frames: int, tokens: int, independent: bool) -> dict[str, np.ndarray]:
        """Return an example with so many frames, and `tokens` places for what is seen in each."""
        conversation = self.conversations[self.order[index]]
        encoded = encode_turns(self.prompt, frames * tokens, conversation.turns, independent)
        return self.frames.read(conversation, frames, encoded)

    def collate(self, examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Return a padded batch with pixel_values (batch, T, height, width, 3) in whole numbers.

        A fourth of what floats would take on their way to the GPU.
        """
        pixels = torch.from_numpy(np.stack([e["frames"] for e in examples]))
        return {"pixel_values": pixels, **pad_batch(examples, self.prompt.pad_token_id)}


class VideoConversations(Examples):
    """Conversations about videos, each seen in T frames of V tokens."""

    def __init__(self, *given, T: int, V: int, independent: bool):
        super().__init__(*given)
        self.T, self.V, self.independent = T, V, independent

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.example(index, self.T, self.V, self.independent)
