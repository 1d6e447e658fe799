"""FLOPs of one video counted operation by operation on the meta device: no weights, no memory, real sizes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from vlmfrontier.models.packing import additive
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig


def _as_eager(config: VideoVLMConfig) -> VideoVLMConfig:
    """Return a copy with eager attention: fused attention on a CPU is silently left out of the count."""
    copy = VideoVLMConfig.from_dict(config.to_dict())
    for part in (copy, copy.vision_config, copy.text_config):
        part._attn_implementation = "eager"  # transformers has no public setter on a configuration
    return copy


def count_flops(config: VideoVLMConfig, frames: int, text_tokens: int) -> dict[str, int]:
    """Return the FLOPs of one video of T = `frames` and `text_tokens` of text: vision, projector, language.

    Attention is counted as a full square, as eager attention computes it. V is that of `config`. The output head runs
    on one position, as in generation.
    """
    with torch.device("meta"):
        model = VideoVLM(_as_eager(config)).eval()
        side = config.vision_config.image_size
        pixels = torch.empty(1, frames, 3, side, side)
        counts = {}
        with torch.no_grad():
            with FlopCounterMode(display=False) as counter:
                features = model.see(pixels)
            counts["vision"] = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                visual = model.project(features)
            counts["projector"] = counter.get_total_flops()
            length = visual.shape[1] + text_tokens
            mask = additive(torch.ones(1, 1, length, length, dtype=torch.bool).tril(), torch.float32)
            embeddings = torch.empty(1, length, config.text_config.hidden_size)
            with FlopCounterMode(display=False) as counter:
                model(inputs_embeds=embeddings, attention_mask=mask, logits_to_keep=1)
            counts["language"] = counter.get_total_flops()
    return counts
