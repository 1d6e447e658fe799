"""FSDP2: the processes of a training share weights, gradients and moments, and give back a whole model at the end."""

import copy
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from vlmfrontier.models.video_vlm import VideoVLM

# Parts of a tower that are gathered one at a time; what is left (projector, last norms) is gathered with the root.
_UNITS = ("EncoderLayer", "DecoderLayer")


def sharding_arguments(model: nn.Module, checkpointing: bool) -> dict[str, Any]:
    """Return what transformers' TrainingArguments need to shard `model` layer by layer.

    Checkpoints are sharded as well: each process writes its own part.
    """
    layers = sorted({type(m).__name__ for m in model.modules() if type(m).__name__.endswith(_UNITS)})
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "transformer_layer_cls_to_wrap": layers,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": checkpointing,
        },
    }


def whole_model(accelerator: Accelerator, model: nn.Module, template: VideoVLM, first: bool) -> VideoVLM | None:
    """Return the sharded `model` gathered in the memory of the first process; None in the others, which take part.

    `template` is a model of the same modules whose weights are on the meta device.
    """
    weights = accelerator.get_state_dict(model)
    if not first:
        return None
    template.load_state_dict(weights, assign=True)
    template.tie_weights()
    return template


def on_meta(model: VideoVLM) -> VideoVLM:
    """Return a copy of `model` without its weights, in no memory."""
    memo = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, memo)
