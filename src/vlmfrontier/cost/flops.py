"""Inference FLOPs per video: the paper's Eq. 1, and counted layer by layer from the shapes of the study's own models.

Every matrix product of a transformer is counted from its shapes, so no torch is needed; a test counts the built models
operation by operation and compares. Norms, activations and rotary positions, below 1% even in small models, are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.towers import Decoder, Encoder

# The constants of the paper's own setting: SoViT-400m/14 at 384 px. Its Table 6 fits W = 768 visual features a frame;
# the encoder really gives 27 x 27 = 729.
PAPER_VISION_PARAMETERS = 430e6
PAPER_VISION_FEATURES = 768


def vision_cost(T: ArrayLike, M: ArrayLike, W: ArrayLike) -> np.ndarray:
    """Return the FLOPs of the vision model for T frames of W features: 2·T·M·W, the first term of Eq. 1."""
    return 2.0 * np.asarray(T, float) * np.asarray(M, float) * np.asarray(W, float)


def language_cost(N: ArrayLike, T: ArrayLike, V: ArrayLike) -> np.ndarray:
    """Return the FLOPs of the language model reading T·V visual tokens: 2·N·T·V, the second term of Eq. 1."""
    return 2.0 * np.asarray(N, float) * np.asarray(T, float) * np.asarray(V, float)


def paper_cost(N: ArrayLike, T: ArrayLike, V: ArrayLike, M: ArrayLike, W: ArrayLike) -> np.ndarray:
    """Return the inference FLOPs per video, c = 2·T·(M·W + N·V) (Eq. 1), broadcast over the arguments.

    N and M are parameters of language and vision model, T frames, V visual tokens per frame for the language model,
    W visual features per frame inside the vision model.
    """
    return vision_cost(T, M, W) + language_cost(N, T, V)


@dataclass(frozen=True)
class PaperCost:
    """Eq. 1 with its constants: `cost` reads N, T, V (and M, where it is a factor) from a table."""

    M: float
    """Parameters of the vision model, used where the table has no column M."""
    W: float
    """Visual features per frame inside the vision model."""
    towers: Mapping[float, float] = field(default_factory=dict)
    """W by M of a study's several vision models, in place of the two constants."""
    unit: str = "FLOPs"

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that `cost` reads."""
        return ("N", "T", "V", "M") if self.towers else ("N", "T", "V")

    @property
    def models(self) -> dict[str, list[float]]:
        """The sizes of the vision models where there are several."""
        return {"M": list(self.towers)} if self.towers else {}

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) in FLOPs per video for the columns N, T, V and, if there is one, M of `values` (Eq. 1).

        NaN where a vision model of several has fewer features than V. Raises `UserError` for an M that is none of them.
        """
        V, M, W = np.asarray(values["V"], float), *self._vision(values)
        cost = paper_cost(values["N"], values["T"], V, M, W)
        return np.where(V <= W, cost, np.nan) if self.towers else cost

    def vision_share(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the share of c(x) spent in the vision model, between 0 and 1 (the paper's Figure 6)."""
        return vision_cost(values["T"], *self._vision(values)) / self.cost(values)

    def _vision(self, values: Mapping[str, ArrayLike]) -> tuple[ArrayLike, ArrayLike]:
        """Return M and W of every configuration."""
        M = values.get("M", self.M)
        return M, by_level(M, self.towers, "vision models, M") if self.towers else self.W


def by_level(levels: ArrayLike, known: Mapping[float, float], what: str) -> np.ndarray:
    """Return what `known` says of each of `levels`. Raises `UserError` for a level that it does not know."""
    levels = np.asarray(levels, float)
    result = np.empty(levels.shape)
    for level in np.unique(levels):
        if level not in known:
            listed = ", ".join(f"{value:g}" for value in known)
            raise UserError(f"cost: there are only the study's {what} = {listed}, not {level:g}")
        result[levels == level] = known[level]
    return result


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
