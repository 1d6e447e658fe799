"""Private names of transformers that are used stand where they were seen: an update that moves one fails here first."""

import inspect

from transformers import AutoConfig, AutoModel, Trainer

from vlmfrontier.models.vision import attention_of, with_attention


def test_trainer_asks_for_the_norm_of_the_gradients():
    where = "Trainer._get_grad_norm (transformers 5.23) has moved: training/trainer.py looks at every step there"
    assert hasattr(Trainer, "_get_grad_norm"), where
    assert list(inspect.signature(Trainer._get_grad_norm).parameters)[:2] == ["self", "model"], where


def test_attention_is_set_on_a_configuration():
    where = "PreTrainedConfig._attn_implementation (transformers 5.23) has moved: models/vision.py sets attention by it"
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = AutoConfig.for_model("siglip_vision_model", image_size=4, patch_size=2, **small)
    for attention in ("eager", "sdpa"):
        model = AutoModel.from_config(with_attention(config, attention))
        assert attention_of(model.config) == attention, where
        assert {attention_of(part.config) for part in model.modules() if hasattr(part, "config")} == {attention}, where
