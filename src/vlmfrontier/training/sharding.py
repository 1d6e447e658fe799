"""FSDP2: the processes of a training share weights, gradients and moments, and give back a whole model at the end."""

import copy
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from vlmfrontier.models.video_vlm import VideoVLM


def sharding_arguments(model: nn.Module, checkpointing: bool) -> dict[str, Any]:
    """Return what transformers' TrainingArguments need to shard `model` layer by layer.

    The layers of the towers are gathered one at a time; what is left (projector, last norms) with the root.
    Checkpoints are sharded as well: each process writes its own part.
    """
    layers = sorted({type(m).__name__ for m in model.modules() if isinstance(m, GradientCheckpointingLayer)})
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "transformer_layer_cls_to_wrap": layers,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": checkpointing,
        },
    }


def reduce_in_32_bits(accelerator: Accelerator) -> None:
    """Let layers compute in 16 bits, and add gradients up and give the loss in 32; by default all would be 16."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    accelerator.state.fsdp_plugin.mixed_precision_policy = policy


def shard_on_cpus(accelerator: Accelerator, plugin: dict[str, Any]) -> None:
    """Let `accelerator` shard on processes without a GPU too, where it leaves FSDP out without a word."""
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin)
    accelerator.state.distributed_type = DistributedType.FSDP


def whole_model(model: nn.Module, template: VideoVLM, first: bool) -> VideoVLM | None:
    """Return the sharded `model` gathered in the memory of the first process; None in the others, which take part.

    `template` is a model of the same modules whose weights are on the meta device.
    """
    assert any(isinstance(p, DTensor) for p in model.parameters()), "the model was not sharded"
    weights = {}
    for name, part in model.state_dict().items():
        whole = part.full_tensor() if isinstance(part, DTensor) else part  # every process takes part
        if first:
            weights[name] = whole.cpu()
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
