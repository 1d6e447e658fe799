"""Vision towers of every family: built without what their patches do not go through, loaded, set to a size."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from vlmfrontier.towers import FAMILIES, VisionFamily

_BY_TYPE = {family.tower_type: family for family in FAMILIES.values()}
# transformers derives these from the number of layers, and refuses those of another number.
_DERIVED = ("model_type", "stage_names", "out_features", "out_indices")


def family_of(config: PreTrainedConfig) -> VisionFamily:
    """Return the family of the tower that `config` describes. Raises `ValueError` for one that is not in the table."""
    if config.model_type not in _BY_TYPE:
        raise ValueError(f"a {config.model_type} is none of the vision towers {', '.join(_BY_TYPE)}")
    return _BY_TYPE[config.model_type]


def leading_tokens(config: PreTrainedConfig) -> int:
    """Return how many tokens stand before the patches in a tower's features: class token and registers."""
    family = family_of(config)
    return family.class_token + (config.num_register_tokens if family.registers else 0)


def changed(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a copy of `config` with other values for the keys of `changes`."""
    settings = {key: value for key, value in config.to_dict().items() if key not in _DERIVED} | changes
    copy = AutoConfig.for_model(config.model_type, **settings)
    copy._attn_implementation = config._attn_implementation  # transformers has no public setter on a configuration
    return copy


def build_tower(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a randomly initialised tower all of whose parameters its features depend on."""
    return without_unused(AutoModel.from_config(config))


def without_unused(tower: PreTrainedModel) -> PreTrainedModel:
    """Return `tower` after taking out what its features do not go through: such parameters would get no gradient."""
    for name in family_of(tower.config).unused:
        owner, _, last = name.rpartition(".")
        part = tower.get_submodule(owner)
        # A norm is still called, on what nobody reads.
        setattr(part, last, nn.Identity() if isinstance(getattr(part, last), nn.Module) else None)
    return tower


@torch.no_grad()
def resized(tower: PreTrainedModel, side: int) -> PreTrainedModel:
    """Return `tower` for images of `side` pixels, its position embeddings interpolated as the family does it."""
    config = tower.config
    if side == config.image_size:
        return tower
    patches = (side // config.patch_size) ** 2
    blank = torch.empty(1, patches + family_of(config).class_token, config.hidden_size)
    positions = tower.embeddings.interpolate_pos_encoding(blank, side, side)
    larger = build_tower(changed(config, {"image_size": side}))
    weights = tower.state_dict()
    for name, weight in larger.state_dict().items():
        if weight.shape != weights[name].shape:  # positions alone depend on the size
            weights[name] = positions.reshape(weight.shape)
    larger.load_state_dict(weights)
    return larger.to(tower.dtype)
