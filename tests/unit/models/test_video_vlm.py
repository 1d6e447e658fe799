"""The model: its shapes, its gradients, its files, and packing several turns behind one video."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SiglipImageProcessorPil

from vlmfrontier.models.build import build_model, count_flops, count_parameters, digits_tokenizer
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import packed_mask, packed_positions
from vlmfrontier.models.vision import downsample, normalise, resize
from vlmfrontier.models.weights import load_model
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.towers import llama_parameters, vision_parameters
from vlmfrontier.training.examples import encode_turns, pad_batch
from vlmfrontier.training.loop import parameter_groups

MODELS = ModelsConfig(start=None)
TURNS = (("digit at c3", "7"), ("sum of white", "11"), ("describe", "white 1 a1 2 b2 red 3 4 blue 5 green c4"))


@pytest.fixture(scope="module")
def tokenizer():
    return digits_tokenizer()


def make(tokenizer, tokens_per_frame: int = 4, language: str = "xs"):
    torch.manual_seed(0)
    model = build_model(MODELS, language, tokenizer, tokens_per_frame).eval()
    with torch.no_grad():  # far from the nearly uniform outputs of a fresh model, so that differences would show
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def batch_of(tokenizer, model, turns, frames: int = 2, examples: int = 1, independent: bool = True):
    prompt = PromptBuilder(tokenizer)
    encoded = encode_turns(prompt, frames * model.config.tokens_per_frame, turns, independent)
    torch.manual_seed(1)
    pixels = torch.rand(1, frames, 3, 64, 64).expand(examples, -1, -1, -1, -1) * 2 - 1
    return {"pixel_values": pixels, **pad_batch([encoded] * examples, prompt.pad_token_id)}


@pytest.mark.parametrize("tokens", [1, 4, 9, 25, 64])
def test_any_square_of_tokens_gives_a_loss_and_gradients_everywhere(tokenizer, tokens):
    model = make(tokenizer, tokens).train()
    loss = model(**batch_of(tokenizer, model, TURNS)).loss
    loss.backward()
    assert torch.isfinite(loss)
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Adding one vector to all keys changes no softmax, so a tower's key biases have no gradient but rounding.
    assert [name for name in missing if "k_proj.bias" not in name] == []


def test_v_is_refused_unless_a_square_within_the_grid(tokenizer):
    for tokens in (5, 81):
        model = make(tokenizer)
        model.config.tokens_per_frame = tokens
        with pytest.raises(ValueError, match=f"V = {tokens}"):
            model.encode_video(torch.zeros(1, 1, 3, 64, 64))


def test_downsampling_keeps_the_place_of_things():
    grid = torch.zeros(1, 8, 8, 2)
    grid[:, :4, :4, 0] = 1.0  # upper left
    grid[:, 4:, 4:, 1] = 1.0  # lower right
    small = downsample(grid.reshape(1, 64, 2), 4)
    assert small[0, 0].tolist() == [1.0, 0.0]
    assert small[0, 3].tolist() == [0.0, 1.0]
    assert torch.equal(downsample(grid.reshape(1, 64, 2), 64), grid.reshape(1, 64, 2))


def test_each_video_place_takes_its_visual_token(tokenizer):
    model = make(tokenizer)
    batch = batch_of(tokenizer, model, TURNS)
    visual = model.encode_video(batch["pixel_values"])
    embeddings = model.embed(batch["input_ids"], visual)
    assert torch.equal(embeddings[:, : visual.shape[1]], visual)
    with pytest.raises(ValueError, match="8 places for 4 visual tokens"):
        model.embed(batch["input_ids"], visual[:, :4])


def test_packed_turns_have_the_loss_of_each_turn_alone(tokenizer):
    model = make(tokenizer)
    packed = model(**batch_of(tokenizer, model, TURNS)).loss
    losses, weights = [], []
    for turn in TURNS:
        batch = batch_of(tokenizer, model, [turn])
        weights.append(int((batch["labels"] != -100).sum()))
        losses.append(float(model(**batch).loss.detach()))
    # The same sums in another order: float32 rounding.
    assert float(packed.detach()) == pytest.approx(np.average(losses, weights=weights), rel=1e-5)


def test_sequential_turns_see_the_turns_before(tokenizer):
    model = make(tokenizer)
    sequential = batch_of(tokenizer, model, TURNS, independent=False)
    as_one = {**sequential, "segments": torch.ones_like(sequential["input_ids"])}
    with torch.no_grad():
        seen, masked, packed = (
            float(model(**batch).loss) for batch in (sequential, as_one, batch_of(tokenizer, model, TURNS))
        )
    assert "segments" not in sequential  # plainly causal: no mask is needed, and flash attention takes none
    assert seen == pytest.approx(masked, rel=1e-5)  # the same sums in another order: float32 rounding
    assert abs(seen - packed) > 1e-3


def test_padding_changes_nothing(tokenizer):
    model = make(tokenizer)
    prompt = PromptBuilder(tokenizer)
    long, short = (encode_turns(prompt, 8, turns, True) for turns in (TURNS, TURNS[:1]))
    pixels = torch.rand(2, 2, 3, 64, 64)
    both = model(pixel_values=pixels, **pad_batch([long, short], prompt.pad_token_id)).loss
    alone = [
        model(pixel_values=pixels[i : i + 1], **pad_batch([e], prompt.pad_token_id)).loss
        for i, e in enumerate((long, short))
    ]
    counts = [(e["labels"] != -100).sum() for e in (long, short)]
    assert float(both) == pytest.approx(np.average([float(a) for a in alone], weights=counts), rel=1e-5)


def test_masks_and_positions_of_a_packed_row():
    segments = torch.tensor([[0, 0, 1, 1, 2, -1]])
    assert packed_positions(segments)[0, :5].tolist() == [0, 1, 2, 3, 2]
    seen = packed_mask(segments)[0, 0].int().tolist()
    assert seen[3] == [1, 1, 1, 1, 0, 0]
    assert seen[4] == [1, 1, 0, 0, 1, 0]
    assert seen[5] == [1, 1, 0, 0, 0, 1]
    assert packed_mask(segments, 2)[0, 0].int().tolist() == seen[4:]


def test_cached_generation_equals_uncached(tokenizer):
    model = make(tokenizer)
    prompt = PromptBuilder(tokenizer)
    ids = torch.tensor([prompt.prefix(8) + prompt.question("describe")] * 2)
    pixels = torch.rand(2, 2, 3, 64, 64)
    ask = {"input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids), "max_new_tokens": 6}
    cached = model.generate(**ask, do_sample=False)
    assert torch.equal(cached, model.generate(**ask, do_sample=False, use_cache=False))


def test_save_and_load_is_bit_equal_and_v_is_the_loaders(tokenizer, tmp_path):
    model = make(tokenizer)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, 9)
    assert loaded.config.tokens_per_frame == 9
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    head, embedding = loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight
    assert head.data_ptr() == embedding.data_ptr()


@pytest.mark.parametrize("language", list(MODELS.language))
def test_built_models_have_the_parameters_the_plan_counts(tokenizer, language):
    counts = count_parameters(build_model(MODELS, language, tokenizer, 1))
    assert counts["language"] == MODELS.language[language].parameters
    assert counts["vision"] == MODELS.vision.parameters


def test_parameter_counts_of_published_models():
    # Llama-3.2-1B, -3B and 3.1-8B without both embeddings; SoViT-400m without pooling head.
    assert llama_parameters(2048, 16, 8192, 32, 8) == 973_146_112
    assert llama_parameters(3072, 28, 8192, 24, 8, 128) == 2_818_747_392
    assert llama_parameters(4096, 32, 14336, 32, 8) == 6_979_588_096
    assert vision_parameters(1152, 27, 4304, 384, 14) == 412_987_248


def test_counted_flops_follow_the_cost_formula_and_hold_attention(tokenizer):
    model = make(tokenizer, tokens_per_frame=16, language="m")
    one, two = (count_flops(model.config, frames, text_tokens=0) for frames in (1, 2))
    assert two["vision"] == 2 * one["vision"]
    vision, language = MODELS.vision, MODELS.language["m"]
    tower = 2 * vision.parameters * vision.features
    # Attention, left out of 2·M·W, is a fifth more at this width; positions and norms, in M, do no matrix product.
    assert 1.0 < one["vision"] / tower < 1.4
    # Language: twice the parameters per token, and attention over the square of the length: 4·S²·width a layer.
    attention = sum(4 * length**2 * language.hidden_size * language.layers for length in (16,))
    matrices = 2 * 16 * (language.parameters - language.hidden_size * (2 * language.layers + 1))
    head = 2 * len(tokenizer) * language.hidden_size
    # Rotary positions add one tiny product.
    assert one["language"] == pytest.approx(matrices + attention + head, rel=0.01)


def test_only_trained_parts_get_gradients_and_their_rates(tokenizer):
    model = make(tokenizer)
    groups = parameter_groups(model, ["projector", "language"], {"projector": 0.1, "language": 0.2}.get)
    assert [(g["name"], g["lr"]) for g in groups] == [("projector", 0.1), ("language", 0.2)]
    assert not any(p.requires_grad for p in model.vision.parameters())
    assert all(p.requires_grad for p in model.language.parameters())


def test_frames_of_any_size_are_squeezed_as_the_published_processor_does():
    """Within two levels of what PIL's bicubic makes, which rounds and cuts off overshoots after each direction."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 9, 16, 3), dtype=np.uint8)
    frames = coarse.repeat(20, axis=1).repeat(20, axis=2)
    made = resize(frames, 96)
    for frame, ours in zip(frames, made, strict=True):
        theirs = np.asarray(Image.fromarray(frame).resize((96, 96), Image.Resampling.BICUBIC), dtype=int)
        assert np.abs(ours.astype(int) - theirs).max() <= 2
    assert resize(made, 96) is made
    pixels = normalise(torch.from_numpy(resize(frames, 96)))
    assert pixels.shape == (2, 3, 96, 96)
    assert torch.equal(pixels, normalise(torch.from_numpy(made)))
    processed = SiglipImageProcessorPil(size={"height": 96, "width": 96}, resample=3)(list(frames), return_tensors="pt")
    assert torch.allclose(processed["pixel_values"], pixels, atol=4 / 255 + 1e-6)  # two levels of 255 on −1…1
