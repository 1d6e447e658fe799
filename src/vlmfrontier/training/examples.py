"""Finetuning examples: a video's frames and the turns of its conversation, in the order of training."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vlmfrontier.data.conversations import Conversation
from vlmfrontier.data.frames import FrameReader
from vlmfrontier.models.frames import normalise, resize
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.training.batches import encode_turns, pad_batch


def training_order(subset: list[int], epochs: int, seed: int) -> list[int]:
    """Return the positions of all examples in the order of training: `subset` shuffled anew for every epoch."""
    orders = [np.random.default_rng([seed, 1, epoch]).permutation(subset) for epoch in range(epochs)]
    return [int(i) for i in np.concatenate(orders)]


class VideoConversations(Dataset):
    """The conversations at `order`, each with `frames` frames of its video."""

    def __init__(
        self,
        folder: Path,
        conversations: list[Conversation],
        order: list[int],
        prompt: PromptBuilder,
        frames: int,
        tokens_per_frame: int,
        independent: bool,
        image_size: int,
    ):
        self.reader = FrameReader(folder)
        self.conversations, self.order, self.prompt = conversations, order, prompt
        self.frames, self.tokens_per_frame, self.independent = frames, tokens_per_frame, independent
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        conversation = self.conversations[self.order[index]]
        places = self.frames * self.tokens_per_frame
        encoded = encode_turns(self.prompt, places, conversation.turns, self.independent)
        frames = resize(self.reader.read(conversation.video, self.frames), self.image_size)
        return {"frames": frames, **encoded}

    def collate(self, examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Return a padded batch with pixel_values (batch, T, 3, height, width)."""
        frames = torch.from_numpy(np.stack([e["frames"] for e in examples]))
        return {"pixel_values": normalise(frames), **pad_batch(examples, self.prompt.pad_token_id)}
