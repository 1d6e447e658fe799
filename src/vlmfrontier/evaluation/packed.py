"""Answers to many questions about one video at the cost of reading the video once.

The video's places are read into a key–value cache; questions stand behind it side by side, each seeing the video and
itself (see `models.packing`). Likelihoods and greedy generation equal those of every question asked alone.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from transformers import DynamicCache

from vlmfrontier.errors import UserError
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import PADDING, VideoVLM, additive, packed_mask

Tokens = list[int]


def new_tensors_on(device: torch.device) -> AbstractContextManager:
    """Make what a `PackedReader` creates live beside the model; on a CPU it does so anyway, and faster."""
    return nullcontext() if device.type == "cpu" else device


def _check_finite(outputs: torch.Tensor) -> None:
    """Raise `UserError` unless all `outputs` are finite: the largest of NaNs would be taken for an answer."""
    if not torch.isfinite(outputs).all():
        raise UserError(
            "the model's outputs are NaN or infinite though its weights are finite: its training was about to diverge, "
            "or 16 bits are too few for it; lower finetune.learning_rates, or set finetune.precision to fp32"
        )


class PackedReader:
    """One batch of videos read into a cache, ready to be asked.

    `visual` are the tokens of each video as `VideoVLM.project` gives them, (batch, T·V, width). What is asked
    afterwards is a list of lists: for each video its texts.
    """

    def __init__(self, model: VideoVLM, prompt: PromptBuilder, visual: torch.Tensor):
        self.model, self.prompt = model, prompt
        self.visual_tokens = visual.shape[1]
        prefix = torch.tensor([prompt.prefix(self.visual_tokens)] * len(visual))
        self.prefix_length = prefix.shape[1]
        embeddings = model.embed(prefix, visual)
        self.cache = DynamicCache()
        model.language.model(inputs_embeds=embeddings, past_key_values=self.cache, use_cache=True)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        """Append `ids` (batch, new) to the cache and return their hidden states; `segments` covers all keys so far."""
        embeddings = self.model.embed(ids, None)
        return self.model.language.model(
            inputs_embeds=embeddings,
            attention_mask=additive(packed_mask(segments, ids.shape[1]), embeddings.dtype),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state

    def _forget(self) -> None:
        """Cut the cache back to the video."""
        self.cache.crop(self.prefix_length - self.cache.get_seq_length())

    def _pack(self, texts: Sequence[Sequence[Tokens]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, positions, segments (batch, new) and the index of each text's last token (batch, texts)."""
        length = max(sum(len(t) for t in row) for row in texts)
        shape = (len(texts), length)
        ids = torch.full(shape, self.prompt.pad_token_id)
        positions = torch.full(shape, self.prefix_length)
        segments = torch.full(shape, PADDING)
        ends = torch.zeros(len(texts), len(texts[0]), dtype=torch.long)
        for r, row in enumerate(texts):
            at = 0
            for number, text in enumerate(row, start=1):
                where = slice(at, at + len(text))
                ids[r, where] = torch.tensor(text)
                positions[r, where] = self.prefix_length + torch.arange(len(text))
                segments[r, where] = number
                at += len(text)
                ends[r, number - 1] = at - 1
        return ids, positions, segments, ends

    def _with_prefix(self, segments: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros(len(segments), self.prefix_length, dtype=torch.long), segments], dim=1)

    def log_likelihoods(self, asked: Sequence[Sequence[Tokens]], answers: Sequence[Sequence[Tokens]]) -> torch.Tensor:
        """Return each answer's log-likelihood behind its question, summed over its tokens: (batch, texts)."""
        texts = [[q + a for q, a in zip(qs, an, strict=True)] for qs, an in zip(asked, answers, strict=True)]
        ids, positions, segments, ends = self._pack(texts)
        hidden = self._forward(ids, positions, self._with_prefix(segments))
        self._forget()
        log_p = self.model.get_output_embeddings()(hidden[:, :-1]).float().log_softmax(-1)
        of_token = log_p.gather(-1, ids[:, 1:, None])[..., 0]
        total = torch.zeros(ends.shape)
        for r, row in enumerate(answers):
            for t, answer in enumerate(row):
                end = int(ends[r, t])
                total[r, t] = of_token[r, end - len(answer) : end].sum()
        _check_finite(total)
        return total

    def generate(self, asked: Sequence[Sequence[Tokens]], max_new_tokens: int) -> list[list[Tokens]]:
        """Return the greedy answer to each question, without the token that ends it."""
        stops = torch.tensor(self.prompt.stop_token_ids)
        ids, positions, segments, ends = self._pack(asked)
        segments = self._with_prefix(segments)
        hidden = self._forward(ids, positions, segments)
        index = ends[..., None].expand(-1, -1, hidden.shape[-1])
        last, place = hidden.gather(1, index), positions.gather(1, ends)
        numbers = torch.arange(1, ends.shape[1] + 1).expand(ends.shape)
        done = torch.zeros(ends.shape, dtype=torch.bool)
        steps = []
        for _ in range(max_new_tokens):
            logits = self.model.get_output_embeddings()(last)
            _check_finite(logits[~done])
            token = logits.argmax(-1)
            done |= torch.isin(token, stops)
            if done.all():
                break
            token = token.masked_fill(done, self.prompt.pad_token_id)
            steps.append(token)
            place = place + 1
            segments = torch.cat([segments, numbers], dim=1)
            last = self._forward(token, place, segments)
        self._forget()
        return self._unpack(steps, ends.shape)

    def _unpack(self, steps: list[torch.Tensor], shape: torch.Size) -> list[list[Tokens]]:
        if not steps:
            return [[[] for _ in range(shape[1])] for _ in range(shape[0])]
        grown = torch.stack(steps, dim=-1).tolist()
        pad = self.prompt.pad_token_id
        return [[text[: text.index(pad)] if pad in text else text for text in row] for row in grown]
