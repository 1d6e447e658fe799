"""The plan's memory against what autograd keeps for real models of several shapes."""

import pytest
import torch

from vlmfrontier.cost.counted import Decoder, Encoder
from vlmfrontier.cost.memory import BYTES, activation_bytes, state_bytes
from vlmfrontier.models.build import build_model, digits_tokenizer
from vlmfrontier.study.models import LanguageConfig, ModelsConfig, VisionConfig

WIDE = {"hidden_size": 256, "layers": 4, "heads": 4}
DEEP = {"hidden_size": 96, "layers": 12, "heads": 4}
TOWER = {"hidden_size": 128, "layers": 4, "heads": 4, "intermediate_size": 256}


def kept_bytes(models: ModelsConfig, frames: int, tokens_per_frame: int, text: int, checkpointing: bool) -> int:
    """Return the bytes of all tensors that the forward pass saves for the way back, each storage once."""
    tokenizer = digits_tokenizer()
    model = build_model(models, "x", tokenizer, tokens_per_frame).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    visual = torch.full((1, frames * tokens_per_frame), model.config.video_token_id)
    ids = torch.cat([visual, torch.ones(1, text, dtype=torch.long)], 1)
    labels = torch.where(ids == model.config.video_token_id, -100, ids)
    size = models.vision.image_size
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, pixel_values=torch.zeros(1, frames, 3, size, size), labels=labels)
    return sum(storages.values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("language", "frames", "tokens"), [(WIDE, 4, 16), (DEEP, 4, 64), (WIDE, 16, 4)])
def test_activations_are_what_autograd_keeps(language: dict, frames: int, tokens: int, checkpointing: bool):
    models = ModelsConfig(vision=VisionConfig(**TOWER), language={"x": LanguageConfig(**language)})
    vision, shape = models.vision, models.language["x"]
    encoder = Encoder(vision.hidden_size, vision.layers, vision.intermediate_size, vision.patch_size, vision.features)
    decoder = Decoder(shape.hidden_size, shape.layers, shape.mlp_size, len(digits_tokenizer()))
    planned = activation_bytes(encoder, decoder, frames, frames * tokens + 64, 64, checkpointing, True)
    kept = kept_bytes(models, frames, tokens, 64, checkpointing)
    if checkpointing:  # the one layer that is being computed again comes on top of what is kept
        assert kept <= planned
        assert kept > 0.2 * planned
    else:
        assert planned == pytest.approx(kept, rel=0.25)


def test_weights_gradients_and_optimizer():
    assert state_bytes(100, 80) == (100 * BYTES, 80 * BYTES, 160 * BYTES)
    assert state_bytes(100, 80, processes=2) == (100 * BYTES, 160 * BYTES, 160 * BYTES)
