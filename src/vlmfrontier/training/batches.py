"""From turns of text behind a video to the tensors of a batch; the one way in which any stage packs its examples."""

from collections.abc import Sequence

import numpy as np
import torch

from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import IGNORED, PADDING
from vlmfrontier.models.weights import updates

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


def parameter_groups(model, train: Sequence[str], rates) -> list[dict]:
    """Freeze what is not in `train`; return an AdamW group for each part in it, at the peak `rates(part)`.

    Of a tower with low-rank updates these alone learn.
    """
    groups = []
    for name, part in model.named_children():
        learning = updates(part) or list(part.parameters()) if name in train else []
        part.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
        if learning:
            groups.append({"params": learning, "lr": rates(name), "name": name})
    return groups
