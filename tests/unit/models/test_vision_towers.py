"""Vision towers of every family: the published features, counts, FLOPs and sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel, CLIPModel, Siglip2Config, SiglipModel, ViTForImageClassification

from tests.published import PROCESSORS, TOWERS, language_shape, save_language, save_vision
from vlmfrontier.errors import UserError
from vlmfrontier.models.build import count_flops, count_parameters, described_model, meta_model
from vlmfrontier.models.pretrained import (
    assemble,
    read_language_config,
    read_normalisation,
    read_tokenizer,
    read_vision_config,
)
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.models.vision import normalise
from vlmfrontier.models.weights import load_model, save_model
from vlmfrontier.study.models import LanguageConfig, ModelsConfig, VisionConfig
from vlmfrontier.training.trainer import sharding_arguments

KEY = "models.vision"
CLOSE = 2e-5  # float32: pixels are normalised by another order of the same operations


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for family in TOWERS:
        save_vision(folder / family, family)
    save_language(folder / "llama")
    return folder


def shape_of(hub: Path, family: str, /, **changes) -> VisionConfig:
    return VisionConfig.model_validate({"pretrained": str(hub / family), **TOWERS[family], **changes})


def assembled(hub: Path, family: str, **changes) -> VideoVLM:
    llama, words = hub / "llama", read_tokenizer(hub / "llama", KEY)
    language = LanguageConfig.model_validate({"pretrained": str(llama), **language_shape()})
    seen = read_vision_config(hub / family, shape_of(hub, family, **changes), KEY)
    return assemble(seen, read_language_config(llama, language, KEY), words, (hub / family, llama)).eval()


def published(hub: Path, family: str) -> torch.nn.Module:
    """Return the vision tower as transformers itself loads it."""
    kinds = {
        "siglip": lambda folder: SiglipModel.from_pretrained(folder).vision_model,
        "clip": lambda folder: CLIPModel.from_pretrained(folder).vision_model,
        "vit": lambda folder: ViTForImageClassification.from_pretrained(folder).vit,
    }
    return kinds.get(family, AutoModel.from_pretrained)(hub / family).eval()


def frames_of(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


def processed(hub: Path, family: str, frames: np.ndarray) -> torch.Tensor:
    """Return `frames` as the published processor normalises them; squeezing and cropping are not its share here."""
    processor = PROCESSORS[family].from_pretrained(hub / family)
    given = processor(list(frames), do_resize=False, do_center_crop=False, return_tensors="pt")
    return given["pixel_values"]


@pytest.mark.parametrize("family", TOWERS)
def test_features_are_the_published_towers_patches(hub, family):
    model, frames = assembled(hub, family), frames_of(30)
    with torch.no_grad():
        features = model.encode_images(torch.from_numpy(frames)[None])[0]
        whole = published(hub, family)(pixel_values=processed(hub, family, frames)).last_hidden_state
    leading = {"siglip": 0, "dinov2_with_registers": 4}.get(family, 1)
    assert whole.shape[1] == 49 + leading
    assert torch.allclose(features, whole[:, leading:], atol=CLOSE)
    assert features.shape == (2, 49, 32)
    assert features.std() > 0.1


@pytest.mark.parametrize("family", TOWERS)
def test_every_weight_of_the_tower_is_counted_and_learns(hub, family):
    model = assembled(hub, family)
    assert count_parameters(model)["vision"] == shape_of(hub, family).parameters
    model.encode_video(torch.from_numpy(frames_of(30))[None], 4).pow(2).sum().backward()
    assert [name for name, p in model.vision.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("siglip", "vision_model.embeddings.position_embedding.weight"),
        ("clip", "vision_model.pre_layrnorm.weight"),
        ("dinov2", "encoder.layer.1.attention.attention.query.weight"),
        ("dinov2_with_registers", "embeddings.register_tokens"),
        ("vit", "vit.encoder.layer.1.intermediate.dense.weight"),
    ],
)
def test_the_files_have_the_names_that_the_hub_has(hub, family, name):
    """What transformers 5 calls otherwise inside, it still writes and reads as it was published."""
    with safe_open(hub / family / "model.safetensors", "pt") as file:
        assert name in set(file.keys())


@pytest.mark.parametrize("family", TOWERS)
@pytest.mark.parametrize("side", [22, 38])
def test_at_another_image_size_positions_are_interpolated_once(hub, family, side, tmp_path):
    model, frames = assembled(hub, family, image_size=side), frames_of(side)
    asked = {} if "dinov2" in family else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        whole = published(hub, family)(pixel_values=processed(hub, family, frames), **asked).last_hidden_state
        features = model.encode_images(torch.from_numpy(frames)[None])
    assert features.shape[2] == (side // 4) ** 2
    assert torch.allclose(features[0], whole[:, -features.shape[2] :], atol=CLOSE)
    assert count_parameters(model)["vision"] == shape_of(hub, family, image_size=side).parameters
    save_model(model, read_tokenizer(hub / "llama", KEY), tmp_path)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path, 4).eval().encode_images(torch.from_numpy(frames)[None]), features)


@pytest.mark.parametrize("family", TOWERS)
def test_last_layers_can_be_left_out(hub, family):
    model, frames = assembled(hub, family, dropped_layers=1), frames_of(30)
    with torch.no_grad():
        tower = published(hub, family)
        before = tower(pixel_values=processed(hub, family, frames), output_hidden_states=True).hidden_states[-2]
        if family != "clip":  # whose norm stands before the layers
            before = (tower.post_layernorm if family == "siglip" else tower.layernorm)(before)
        features = model.encode_images(torch.from_numpy(frames)[None])[0]
    assert torch.allclose(features, before[:, -49:], atol=CLOSE)
    shorter, whole = shape_of(hub, family, dropped_layers=1), shape_of(hub, family)
    assert count_parameters(model)["vision"] == shorter.parameters < whole.parameters


@pytest.mark.parametrize("family", TOWERS)
def test_colours_are_kept_with_the_model(hub, family, tmp_path):
    model, frames = assembled(hub, family), torch.from_numpy(frames_of(30))[None]
    save_model(model, read_tokenizer(hub / "llama", KEY), tmp_path)
    again = load_model(tmp_path, 4).eval()
    assert {name: getattr(again.config, name) for name in ("image_mean", "image_std")} == read_normalisation(
        hub / family
    )
    with torch.no_grad():
        assert torch.equal(again.encode_images(frames), model.encode_images(frames))
    if family in ("clip", "dinov2"):
        assert not torch.allclose(normalise(frames), normalise(frames, again.config.image_mean, again.config.image_std))


def test_colours_of_siglip_are_to_the_bit_what_they_were():
    """x / 127.5 − 1: the weights of finished runs were trained on it."""
    every = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 2, 2, 3)
    assert torch.equal(normalise(every), (every.movedim(-1, -3).float() / 127.5 - 1).contiguous())


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (
            "clip",
            {"family": "siglip"},
            "models.vision.family = 'siglip', but .* is a clip_vision_model; write family: clip",
        ),
        ("dinov2", {"intermediate_size": 48}, r"intermediate_size = 48, but .* has 64 \(hidden_size \* mlp_ratio\)"),
        ("dinov2_with_registers", {"registers": 4}, r"registers = 4, but .* has 3 \(num_register_tokens\)"),
        ("vit", {"layers": 3}, r"layers = 3, but .* has 2 \(num_hidden_layers\)"),
    ],
)
def test_another_family_or_shape_is_refused_with_both_values(hub, family, changes, message):
    with pytest.raises(UserError, match=message):
        read_vision_config(hub / family, shape_of(hub, family, **changes), KEY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "dinov2_with_registers"}, "registers are missing; write num_register_tokens"),
        ({"family": "clip", "registers": 4}, "a clip has no registers; leave them out"),
        ({"family": "clip", "dropped_layers": 3}, "dropped_layers 3 leaves none of 3 layers"),
        ({"family": "clip", "pretrained": None}, "family and dropped_layers belong to a pretrained model"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_anything_is_fetched(changes, message):
    with pytest.raises(ValueError, match=message):
        VisionConfig.model_validate({"pretrained": "a/b", **changes})


def test_what_is_not_counted_is_refused(tmp_path):
    gated = {"use_swiglu_ffn": True}, "has gated MLPs, which are not counted; take a smaller DINOv2"
    # Three biases of 32 numbers in each of two layers.
    unbiased = {"qkv_bias": False}, "counts 18,272 parameters, but .* has 18,080; qkv_bias of its config.json must be"
    for family, more, message in (("dinov2", *gated), ("vit", *unbiased)):
        folder = save_vision(tmp_path / family, family, **more)
        with pytest.raises(UserError, match=message):
            read_vision_config(folder, shape_of(tmp_path, family), KEY)


def test_a_siglip_2_without_a_fixed_grid_is_refused(tmp_path):
    """SigLIP 2 of fixed resolution is published as `siglip`, in SigLIP's own layout."""
    Siglip2Config().save_pretrained(tmp_path)
    shape = VisionConfig.model_validate({"pretrained": str(tmp_path), **TOWERS["siglip"]})
    with pytest.raises(UserError, match=r"is a siglip2_vision_model; .* siglip, clip"):
        read_vision_config(tmp_path, shape, KEY)


def test_without_the_published_colours_nothing_is_guessed(tmp_path):
    folder = save_vision(tmp_path / "clip", "clip")
    settings = (folder / "preprocessor_config.json").read_text()
    (folder / "preprocessor_config.json").write_text(settings.replace('"do_normalize": true', '"do_normalize": false'))
    with pytest.raises(UserError, match="does not normalise pixels of 0 to 255"):
        read_normalisation(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"clip: preprocessor_config.json is missing"):
        read_normalisation(folder)


LARGE = {"hidden_size": 1024, "layers": 24, "heads": 16, "intermediate_size": 4096, "patch_size": 14}
SOVIT = {"hidden_size": 1152, "layers": 27, "intermediate_size": 4304, "image_size": 384}
PUBLISHED = [
    # Millions of parameters as published, and those that M leaves out: a pooled output's norm and projection, a mask
    # token, a classifier of 1000 classes.
    ("siglip", SOVIT, 428.2256, 15_238_352),  # SoViT-400m/14 of SigLIP and of SigLIP 2, and its pooling head
    ("clip", {"image_size": 336}, 304.29, 2 * 1024 + 1024 * 768),  # open_clip's profile of ViT-L-14-336
    ("dinov2", {"image_size": 518}, 304.4, 1024),  # timm's model card, as the next
    ("dinov2_with_registers", {"image_size": 518, "registers": 4}, 304.4, 1024),
    ("vit", {"image_size": 384, "patch_size": 16}, 304.7, 1025 * 1000),
]


def study_models(family: str, shape: dict) -> ModelsConfig:
    tiny = {"pretrained": "a/language", **language_shape()}
    return ModelsConfig.model_validate(
        {"start": None, "vision": {"pretrained": "a/b", "family": family, **shape}, "language": {"x": tiny}}
    )


@pytest.mark.parametrize(("family", "more", "millions", "left_out"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_towers_of_real_size_have_the_published_parameters(family, more, millions, left_out):
    models = study_models(family, {**LARGE, **more})
    planned = models.vision.parameters
    assert count_parameters(meta_model(models, "x", 196))["vision"] == planned
    assert (planned + left_out) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("family", TOWERS)
def test_counted_flops_know_the_tokens_before_the_patches(family):
    models = study_models(family, TOWERS[family])
    counted = count_flops(described_model(models, "x", 4), 3, text_tokens=0)
    assert counted["vision"] == 3 * models.vision.encoder.per_frame
    assert models.vision.encoder.tokens == 49 + {"siglip": 0, "dinov2_with_registers": 4}.get(family, 1)


@pytest.mark.parametrize(("family", "more"), [row[:2] for row in PUBLISHED], ids=[row[0] for row in PUBLISHED])
def test_counted_flops_of_real_size(family, more):
    models = study_models(family, {**LARGE, **more})
    counted = count_flops(described_model(models, "x", 196), 1, text_tokens=0)
    assert counted["vision"] == models.vision.encoder.per_frame


@pytest.mark.parametrize("family", TOWERS)
def test_layers_of_both_towers_are_sharded_one_at_a_time(family):
    wrapped = sharding_arguments(meta_model(study_models(family, TOWERS[family]), "x", 4), False)["fsdp_config"]
    names = {"siglip": "Siglip", "clip": "CLIP", "vit": "ViT", "dinov2": "Dinov2"}
    own = names.get(family, "Dinov2WithRegisters")
    assert [name for name in wrapped["transformer_layer_cls_to_wrap"] if name.startswith(own)]
    assert len(wrapped["transformer_layer_cls_to_wrap"]) == 2
