"""Configuration of the towers: the vision models and the language models a sweep chooses from."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from vlmfrontier.study.base import Few, Named, Natural, Number, Positive, Section, Width
from vlmfrontier.study.files import InputFile, PretrainedModel, is_folder
from vlmfrontier.towers import FAMILIES, Decoder, Encoder, VisionFamily, llama_parameters, vision_parameters

ROUNDED = 0.05
"""How far a size that the study states may be from the parameters counted, as a share of them."""
TAKEN = {"vision", "language", "hub", "fetched.json"}
"""Names inside results/<study>/models/ that are no language model's."""


class TowerConfig(Section):
    """Where a tower comes from, if it is a published model."""

    pretrained: PretrainedModel | None = None
    """Published model that the tower starts from: `owner/name` of the Hugging Face hub, which `snakemake fetch` loads,
    or a folder written `./folder`. Null: the tower is built from its shape. The shape stands here in any case, since
    plan and cost are counted without the weights; one that is not the model's is refused."""
    revision: str | None = None
    """Commit, tag or branch of the hub to fetch; a commit is the same for ever. Null: the newest."""

    @model_validator(mode="after")
    def _has_revision_of_hub(self) -> "TowerConfig":
        if self.revision is not None and not self.from_hub:
            raise ValueError("revision belongs to a model of the hub; leave it out")
        return self

    @property
    def from_hub(self) -> bool:
        """Say whether the model has to be fetched."""
        return self.pretrained is not None and not is_folder(self.pretrained)


class VisionConfig(TowerConfig):
    """A vision tower: its shape and, if it is a published one, its family and where it is."""

    family: Literal["siglip", "clip", "dinov2", "dinov2_with_registers", "vit"] = "siglip"
    """Family of a published model: `model_type` in its config.json. SigLIP 2 of fixed resolution is `siglip`."""
    hidden_size: Width = 64
    """Width of the features handed to the projector."""
    layers: Few = 3
    """Transformer layers."""
    dropped_layers: Natural = 0
    """How many of them are left out at the end of a published model: 1 takes the features of the last layer but one,
    as LLaVA does of CLIP. They count neither in M nor in FLOPs. A last norm, where the model has one, follows all the
    same."""
    registers: Annotated[Natural, Field(le=10_000)] = 0
    """`num_register_tokens` of a dinov2_with_registers."""
    heads: Few = 4
    """Attention heads."""
    intermediate_size: Width = 128
    """Width of the MLP."""
    image_size: Few = 64
    """Pixels a side of a frame. If a published model was trained at another size, its position embeddings are
    interpolated to this one when stage 1 begins."""
    patch_size: Few = 8
    """Pixels a side of a patch; a frame has (image_size / patch_size)² features, rounded down a side: the largest
    possible V. What is left over at the right and lower edge is not seen, as in SigLIP."""

    @model_validator(mode="after")
    def _divides(self) -> "VisionConfig":
        if self.patch_size > self.image_size:
            raise ValueError(f"patch_size {self.patch_size} is larger than image_size {self.image_size}")
        if self.pretrained is None and self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {self.image_size}")
        if self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        return self

    @model_validator(mode="after")
    def _is_of_its_family(self) -> "VisionConfig":
        if self.pretrained is None and (self.family != "siglip" or self.dropped_layers):
            raise ValueError("family and dropped_layers belong to a pretrained model; name it, or leave them out")
        if self.traits.registers != (self.registers > 0):
            raise ValueError(
                "registers are missing; write num_register_tokens of the model's config.json"
                if self.traits.registers
                else f"a {self.family} has no registers; leave them out"
            )
        if self.dropped_layers >= self.layers:
            raise ValueError(f"dropped_layers {self.dropped_layers} leaves none of {self.layers} layers")
        return self

    @property
    def traits(self) -> VisionFamily:
        """What sets the family apart."""
        return FAMILIES[self.family]

    @property
    def used_layers(self) -> int:
        """Transformer layers that the features go through."""
        return self.layers - self.dropped_layers

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
        """M, parameters that the features go through: without a pooling head and dropped layers."""
        return vision_parameters(
            self.hidden_size,
            self.used_layers,
            self.intermediate_size,
            self.image_size,
            self.patch_size,
            self.traits,
            self.registers,
        )

    @property
    def encoder(self) -> Encoder:
        """The shape that FLOPs and memory are counted from."""
        shape = (self.hidden_size, self.used_layers, self.intermediate_size, self.patch_size, self.features)
        return Encoder(*shape, self.traits, self.registers)


class LanguageConfig(TowerConfig):
    """A language model: its shape (Llama's, or with the biases and norms of its relatives) and where it is."""

    hidden_size: Width
    """Width."""
    layers: Few
    """Transformer layers."""
    heads: Few
    """Attention heads."""
    kv_heads: Few | None = None
    """Heads of keys and values; by default as many as `heads`."""
    head_size: Few | None = None
    """Width of a head; by default hidden_size / heads."""
    intermediate_size: Width | None = None
    """Width of the gated MLP; by default 8/3 of the hidden size, rounded down to a multiple of 8."""
    vocabulary: Annotated[Positive, Field(le=100_000_000)] | None = None
    """Rows of the embedding (`vocab_size` of the published model); null: as many as the digits study has words."""
    tied: bool = True
    """Whether the output head is the input embedding; else it counts in N."""
    qkv_bias: bool = False
    """Whether queries, keys and values have biases, as in Qwen2 and Qwen2.5."""
    qk_norm: bool = False
    """Whether queries and keys are normalised by head, as in Qwen3."""
    size: Number | None = None
    """N as the study's tables, keys and costs state it, within 5% of what is counted: the paper rounds to 1.0,
    2.8 and 7.5 billion. Null: as counted."""

    @model_validator(mode="after")
    def _fits_together(self) -> "LanguageConfig":
        if self.head_size is None and self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        if (self.head_size or self.hidden_size // self.heads) % 2:
            raise ValueError(f"the width of a head, hidden_size {self.hidden_size} / heads {self.heads}, must be even")
        if self.mlp_size < 1:
            raise ValueError("hidden_size is too small for an MLP; write intermediate_size")
        if self.heads % self.key_value_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        if self.vocabulary is None and (self.pretrained is not None or not self.tied):
            raise ValueError("vocabulary is missing; write the model's vocab_size")
        if self.pretrained is None and (self.qkv_bias or self.qk_norm):
            raise ValueError("qkv_bias and qk_norm belong to a pretrained model; name it, or leave them out")
        if self.size is not None and abs(self.size / self.parameters - 1) > ROUNDED:
            raise ValueError(f"size {self.size:g} is not the {self.parameters:,} parameters counted, even roughly")
        return self

    @property
    def mlp_size(self) -> int:
        """Width of the gated MLP, resolved."""
        return self.intermediate_size or self.hidden_size * 8 // 3 // 8 * 8

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values, resolved."""
        return self.kv_heads or self.heads

    @cached_property
    def parameters(self) -> int:
        """Parameters without the input embedding; a head that is not tied to it counts."""
        inner = llama_parameters(
            self.hidden_size,
            self.layers,
            self.mlp_size,
            self.heads,
            self.kv_heads,
            self.head_size,
            qkv_bias=self.qkv_bias,
            qk_norm=self.qk_norm,
        )
        return inner + (0 if self.tied else self.vocabulary * self.hidden_size)

    def decoder(self, vocabulary: int) -> Decoder:
        """Return the shape that FLOPs and memory are counted from, its output head of `vocabulary` words."""
        size = self.head_size or self.hidden_size // self.heads
        widths = (self.heads * size, self.key_value_heads * size)
        return Decoder(self.hidden_size, self.layers, self.mlp_size, vocabulary, *widths)

    @property
    def N(self) -> float:
        """The size by which sweep, laws and cost know the model."""
        return float(self.size or self.parameters)


def _one_or_many(value: Any) -> str:
    """Return whether a `vision` section is one tower or a map of towers by name."""
    by_name = isinstance(value, Mapping) and value and all(isinstance(v, Mapping | Section) for v in value.values())
    return "many" if by_name else "one"


class ModelsConfig(Section):
    """Vision model, language models, and the weights that they start from."""

    start: InputFile | None = "workflow/pretrained/digits"
    """Folder of finished starting models, one per language model, relative to the file that names it; `null`: make
    them with this workflow's rules first. For the digits study that is an hour or two of pretraining; for published
    models, stage 1."""
    hub: InputFile | None = None
    """Folder that fetched models are kept in, so that studies can share them; null: results/<study>/models/hub."""
    vision: Annotated[
        Annotated[VisionConfig, Tag("one")]
        | Annotated[dict[str, VisionConfig], Field(min_length=1), Named, Tag("many")],
        Discriminator(_one_or_many),
    ] = VisionConfig()
    """The vision tower; or several by the names that the sweep uses for them, which makes their size M a factor."""
    language: Annotated[dict[str, LanguageConfig], Named] = Field(
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
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention of both towers: sdpa, eager or flash_attention_2 (the latter needs its package and a GPU)."""

    @field_validator("language")
    @classmethod
    def _has_a_folder_of_its_own(cls, language: dict[str, LanguageConfig]) -> dict[str, LanguageConfig]:
        for name in language:
            if name.casefold() in TAKEN:
                raise ValueError(f"{name!r} cannot name a language model: models/{name} is taken; give it another name")
        return language

    @model_validator(mode="after")
    def _pretrained_or_not(self) -> "ModelsConfig":
        without = [name for name, tower in self._all_towers() if tower.pretrained is None]
        if self.pretrained and without:
            raise ValueError(f"{without[0]} has no `pretrained`, others have; give all of them one, or none")
        if self.several_towers and self.start is None and not self.pretrained:
            raise ValueError(
                "several vision models cannot be pretrained here; give all models `pretrained`, or a `start`"
            )
        return self

    @property
    def several_towers(self) -> bool:
        """Say whether the vision model's size M is a factor of the sweep."""
        return isinstance(self.vision, dict)

    @property
    def factors(self) -> list[str]:
        """The factors that runs of these models vary."""
        return ["N", "T", "V", "M"] if self.several_towers else ["N", "T", "V"]

    @property
    def towers(self) -> dict[str, VisionConfig]:
        """The vision towers by name; a single one is called by the empty name."""
        return self.vision if isinstance(self.vision, dict) else {"": self.vision}

    @property
    def largest_tower(self) -> VisionConfig:
        """The tower with the finest grid of features, the larger one of equals."""
        return max(self.towers.values(), key=lambda tower: (tower.grid, tower.parameters))

    @staticmethod
    def start_name(language: str, vision: str) -> str:
        """Return the folder of the starting model of a pair: of the language model's name, unless there are several
        vision models."""
        return f"{vision}+{language}" if vision else language

    @property
    def pretrained(self) -> bool:
        """Say whether the towers are published models, as opposed to built from their shapes."""
        return any(tower.pretrained is not None for _, tower in self._all_towers())

    def _all_towers(self) -> Iterator[tuple[str, TowerConfig]]:
        for name, tower in self.towers.items():
            yield f"vision.{name}".rstrip("."), tower
        for name, tower in self.language.items():
            yield f"language.{name}", tower
