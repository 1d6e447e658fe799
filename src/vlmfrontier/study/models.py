"""Configuration of the towers: the vision model and the language models a sweep chooses from."""

from functools import cached_property

from pydantic import Field, model_validator

from vlmfrontier.cost.parameters import llama_parameters, siglip_parameters
from vlmfrontier.study.base import Section
from vlmfrontier.study.files import InputFile


class VisionConfig(Section):
    """A SigLIP vision tower by its shape."""

    hidden_size: int = 64
    """Width of the features handed to the projector."""
    layers: int = 3
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""
    intermediate_size: int = 128
    """Width of the MLP."""
    image_size: int = 64
    """Pixels a side of a frame."""
    patch_size: int = 8
    """Pixels a side of a patch; a frame has (image_size / patch_size)² features, the largest possible V."""

    @model_validator(mode="after")
    def _divides(self) -> "VisionConfig":
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {self.image_size}")
        if self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        return self

    @property
    def grid(self) -> int:
        """Features a side: V = k² is possible for k up to this."""
        return self.image_size // self.patch_size

    @property
    def features(self) -> int:
        """W, visual features of one frame before downsampling."""
        return self.grid**2

    @cached_property
    def parameters(self) -> int:
        """M, parameters without the pooling head."""
        return siglip_parameters(
            self.hidden_size, self.layers, self.intermediate_size, self.image_size, self.patch_size
        )


class LanguageConfig(Section):
    """A Llama language model by its shape."""

    hidden_size: int
    """Width."""
    layers: int
    """Transformer layers."""
    heads: int
    """Attention heads (keys and values have as many)."""
    intermediate_size: int | None = None
    """Width of the gated MLP; by default 8/3 of the hidden size, rounded down to a multiple of 8."""

    @model_validator(mode="after")
    def _divides(self) -> "LanguageConfig":
        if self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        return self

    @property
    def mlp_size(self) -> int:
        """Width of the gated MLP, resolved."""
        return self.intermediate_size or self.hidden_size * 8 // 3 // 8 * 8

    @cached_property
    def parameters(self) -> int:
        """N, parameters without the input embedding (the output head is tied to it and adds none)."""
        return llama_parameters(self.hidden_size, self.layers, self.mlp_size, self.heads)


class ModelsConfig(Section):
    """The models a run is put together from."""

    start: InputFile | None = "workflow/pretrained/digits"
    """Folder of finished starting models, one per language model, relative to the file that names it; `null`: pretrain
    them with this workflow's rules first, which takes an hour or two."""
    vision: VisionConfig = VisionConfig()
    """The vision tower."""
    language: dict[str, LanguageConfig] = Field(
        default={
            "xxs": LanguageConfig(hidden_size=24, layers=2, heads=2),
            "xs": LanguageConfig(hidden_size=24, layers=3, heads=2),
            "s": LanguageConfig(hidden_size=32, layers=3, heads=2),
            "m": LanguageConfig(hidden_size=48, layers=3, heads=3),
            "l": LanguageConfig(hidden_size=64, layers=4, heads=4),
        },
        min_length=1,
    )
    """Language models by the name that the sweep uses for them."""
    attention: str = "sdpa"
    """Attention of both towers: sdpa, eager or flash_attention_2 (the latter needs its package and a GPU)."""
