"""Inference FLOPs counted layer by layer: vision model, projector, language model, attention, text and answer.

Every matrix product of a transformer is counted from its shapes, so no torch is needed; a test counts the built models
operation by operation and compares. Norms, activations and rotary positions, below 1% even in small models, are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.cost.paper import by_level
from vlmfrontier.cost.vision_families import SIGLIP, VisionFamily
from vlmfrontier.errors import UserError


@dataclass(frozen=True)
class Decoder:
    """The shape of a language model."""

    hidden: int
    layers: int
    intermediate: int
    vocabulary: int = 0
    """Words of the output head; 0 leaves the head out."""
    query: int | None = None
    """Width of all queries together; by default the hidden size."""
    key_value: int | None = None
    """Width of all keys together, and of all values; by default that of the queries."""

    @property
    def queries(self) -> int:
        """Width of all queries together, resolved."""
        return self.query or self.hidden

    @property
    def keys(self) -> int:
        """Width of all keys together, and of all values, resolved."""
        return self.key_value or self.queries

    @property
    def per_token(self) -> float:
        """FLOPs of the matrices that one token passes, attention and head aside."""
        projections = 2 * self.hidden * (self.queries + self.keys)
        return 2.0 * self.layers * (projections + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> float:
        """FLOPs of the output head for one position."""
        return 2.0 * self.hidden * self.vocabulary

    def prefill(self, length: ArrayLike) -> np.ndarray:
        """Return the FLOPs of reading `length` tokens at once; attention as the full square, as if eager."""
        length = np.asarray(length, float)
        return self.per_token * length + 4.0 * self.layers * self.queries * length**2 + self.head

    def decode(self, length: ArrayLike, count: int) -> np.ndarray:
        """Return the FLOPs of `count` more tokens after `length`, one at a time over the stored keys and values."""
        length = np.asarray(length, float)
        attended = count * length + count * (count + 1) / 2
        return count * (self.per_token + self.head) + 4.0 * self.layers * self.queries * attended


@dataclass(frozen=True)
class Encoder:
    """The shape of a vision model."""

    hidden: int
    layers: int
    intermediate: int
    patch: int
    features: int
    """W: patches of one frame."""
    family: VisionFamily = SIGLIP
    registers: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of one frame inside the layers: its patches and what stands before them."""
        return self.family.class_token + self.registers + self.features

    @property
    def per_frame(self) -> float:
        """FLOPs of one frame: patch embedding; per layer four projections, the MLP, attention over all tokens."""
        embedding = 2.0 * self.features * 3 * self.patch**2 * self.hidden
        matrices = 2.0 * self.tokens * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        return embedding + self.layers * (matrices + 4.0 * self.tokens**2 * self.hidden)


@dataclass(frozen=True)
class CountedCost:
    """c(x) of the study's own models: T frames seen, T·V tokens projected and read with the text, an answer written."""

    encoders: Mapping[float, Encoder]
    """Vision models by M; a single one, whatever its M."""
    decoders: Mapping[float, Decoder]
    """Language models by N."""
    text_tokens: int
    """Tokens of prompt and question."""
    answer_tokens: int
    """Tokens of the answer."""
    unit: str = "FLOPs"

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that `cost` reads."""
        return ("N", "T", "V", "M") if len(self.encoders) > 1 else ("N", "T", "V")

    @property
    def models(self) -> dict[str, list[float]]:
        """The sizes of the language models and, where there are several, of the vision models."""
        sizes = {"N": list(self.decoders), "M": list(self.encoders)}
        return {name: sizes[name] for name in self.factors if name in sizes}

    def parts(self, values: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
        """Return the FLOPs per video of vision, projector, prefill and decode for the columns N, T, V and, with several
        vision models, M.

        NaN where a vision model of several has fewer features than V. Raises `UserError` for an N or M that is none of
        the study's models.
        """
        N, T, V = (np.asarray(values[name], float) for name in ("N", "T", "V"))
        seen, width = self._vision(values, V)
        visual = T * V
        parts = {"vision": T * seen + 0 * (N * V)}
        for name in ("projector", "prefill", "decode"):
            parts[name] = np.zeros(np.broadcast_shapes(N.shape, visual.shape))
        for size in np.unique(N):
            here = np.broadcast_to(size == N, parts["prefill"].shape)
            tokens = np.broadcast_to(visual, here.shape)[here]
            decoder = self._decoder(size)
            wide = np.broadcast_to(width, here.shape)[here]
            parts["projector"][here] = 2.0 * tokens * decoder.hidden * (wide + decoder.hidden)
            parts["prefill"][here] = decoder.prefill(tokens + self.text_tokens)
            # Reading already gives the first word of the answer.
            parts["decode"][here] = decoder.decode(tokens + self.text_tokens, max(0, self.answer_tokens - 1))
        return parts

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) in FLOPs per video for the columns N, T and V of `values`."""
        return np.sum(list(self.parts(values).values()), axis=0)

    def vision_share(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the share of c(x) spent in the vision model, between 0 and 1 (the paper's Figure 6)."""
        return self.parts(values)["vision"] / self.cost(values)

    def _vision(self, values: Mapping[str, ArrayLike], V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the FLOPs of one frame and the width of the features, of every configuration."""
        if len(self.encoders) == 1:
            (encoder,) = self.encoders.values()
            return np.asarray(encoder.per_frame), np.asarray(encoder.hidden, float)
        asked = {"per_frame": {}, "hidden": {}, "features": {}}
        for name, table in asked.items():
            table.update({M: getattr(encoder, name) for M, encoder in self.encoders.items()})
        seen, width, W = (by_level(values["M"], table, "vision models, M") for table in asked.values())
        return np.where(V <= W, seen, np.nan), width

    def _decoder(self, size: float) -> Decoder:
        if size not in self.decoders:
            known = ", ".join(f"{N:g}" for N in self.decoders)
            raise UserError(f"cost: model counted knows only the study's language models, N = {known}, not {size:g}")
        return self.decoders[size]
