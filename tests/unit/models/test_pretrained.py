"""Published models as towers: loaded from the layouts that transformers writes, held to the study's shape."""

import json
from datetime import datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, SiglipModel

from tests.published import SPECIAL, VISION, language_shape, save_language, save_siglip, tokenizer
from vlmfrontier.errors import UserError
from vlmfrontier.models.build import check_parameters, count_flops, count_parameters, described_model, meta_model
from vlmfrontier.models.chat import DATE, VIDEO_TAG
from vlmfrontier.models.pretrained import assemble, read_language_config, read_tokenizer, read_vision_config
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.study.load import load_study
from vlmfrontier.study.models import LanguageConfig, VisionConfig
from vlmfrontier.training.examples import encode_turns

KEY = "models.language.x"


@pytest.fixture(scope="module")
def siglip(tmp_path_factory) -> Path:
    return save_siglip(tmp_path_factory.mktemp("hub") / "siglip")


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return save_language(tmp_path_factory.mktemp("hub") / "llama")


def vision(folder: Path, **changes) -> VisionConfig:
    return VisionConfig.model_validate({"pretrained": str(folder), **VISION, **changes})


def language(folder: Path, **changes) -> LanguageConfig:
    return LanguageConfig.model_validate({"pretrained": str(folder), **language_shape(), **changes})


def assembled(siglip: Path, llama: Path):
    words = read_tokenizer(llama, KEY)
    seen = read_vision_config(siglip, vision(siglip), "models.vision")
    return assemble(seen, read_language_config(llama, language(llama), KEY), words, (siglip, llama)), words


def test_towers_have_the_published_weights_and_features(siglip, llama):
    model, _ = assembled(siglip, llama)
    whole, text = SiglipModel.from_pretrained(siglip), LlamaForCausalLM.from_pretrained(llama)
    pixels = torch.rand(2, 3, 30, 30) * 2 - 1
    with torch.no_grad():
        features = model.encode_images(pixels[None])[0]
        assert torch.equal(features, whole.vision_model(pixel_values=pixels).last_hidden_state)  # layer −1, all of it
        ids = torch.arange(10)[None] + 20
        assert torch.equal(model.language(ids).logits, text(ids).logits)
    assert features.shape == (2, 49, 32)
    assert not any("head" in name for name, _ in model.vision.named_parameters())
    counts = count_parameters(model)
    assert counts["vision"] == vision(siglip).parameters
    assert counts["language"] == language(llama).parameters


@pytest.mark.parametrize(
    ("family", "more", "said"),
    [
        ("llama", {"tie_word_embeddings": False}, {"tied": False}),
        ("llama", {"head_dim": 16}, {"head_size": 16}),
        ("qwen2", {}, {"qkv_bias": True}),
        ("qwen3", {"head_dim": 16}, {"qk_norm": True, "head_size": 16}),
    ],
)
def test_other_families_are_counted_right_or_refused(tmp_path, family, more, said):
    folder = save_language(tmp_path / family, family, **more)
    read_language_config(folder, language(folder, **said), KEY)
    with pytest.raises(UserError, match=rf"{KEY}\.tied = True|{KEY}: its shape counts [\d,]+ parameters, but"):
        read_language_config(folder, language(folder), KEY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, r"models.language.x.layers = 3, but .* has 2 \(num_hidden_layers\)"),
        ({"kv_heads": 4}, r"models.language.x.kv_heads = 4, but .* has 2 \(num_key_value_heads\)"),
        ({"vocabulary": 9}, r"models.language.x.vocabulary = 9, but .* has 300 \(vocab_size\)"),
    ],
)
def test_a_shape_that_is_not_the_models_is_refused_with_both_values(llama, changes, message):
    with pytest.raises(UserError, match=message):
        read_language_config(llama, language(llama, **changes), KEY)


def test_a_vision_model_must_be_a_tower_of_the_shape(siglip, llama):
    with pytest.raises(UserError, match=r"models.vision.patch_size = 5, but .* has 4"):
        read_vision_config(siglip, vision(siglip, patch_size=5), "models.vision")
    with pytest.raises(UserError, match=r"is a llama; .* siglip, clip, dinov2, "):
        read_vision_config(llama, vision(llama), "models.vision")


def test_a_missing_weight_is_named(siglip, llama, tmp_path):
    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(llama / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing or .*, the first model\.layers\.1\.mlp\.up"):
        assembled(siglip, tmp_path)


def test_a_pickle_is_not_loaded(siglip, llama, tmp_path):
    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(llama / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights in safetensors"):
        assembled(siglip, tmp_path)


def test_the_video_has_a_token_and_the_embedding_no_new_row(siglip, llama):
    model, words = assembled(siglip, llama)
    rows = model.get_input_embeddings().num_embeddings
    assert words.convert_tokens_to_ids(VIDEO_TAG) == rows == language(llama).vocabulary
    assert words.pad_token == SPECIAL[-1]
    encoded = encode_turns(PromptBuilder(words), 4, [("what digit ?", "3"), ("and now ?", "4")], independent=False)
    ids = torch.from_numpy(encoded["input_ids"])[None]
    pixels, labels = torch.rand(1, 1, 3, 30, 30), torch.from_numpy(encoded["labels"])[None]
    loss = model(input_ids=ids, pixel_values=pixels, labels=labels, tokens_per_frame=4).loss
    assert torch.isfinite(loss)


def test_prompts_are_the_models_own_chat_without_todays_date():
    words = tokenizer()
    words.add_tokens([VIDEO_TAG], special_tokens=True)
    words.pad_token = SPECIAL[-1]
    prompt = PromptBuilder(words)
    head = words.decode(prompt.prefix(0))
    assert f"Today Date: {DATE}" in head
    assert datetime.now().strftime("%d %b %Y") not in head
    turns = [("what digit ?", "3"), ("and now ?", "4")]
    after, labels = prompt.conversation(turns)
    messages = [("user", "<video> what digit ?"), ("assistant", "3"), ("user", "and now ?"), ("assistant", "4")]
    whole = words.apply_chat_template(
        [{"role": role, "content": text} for role, text in messages], tokenize=False, date_string=DATE
    )
    assert words.decode(prompt.prefix(1) + after) == whole
    supervised = [token for token in labels if token != -100]
    assert words.decode(supervised) == "3<|eot_id|>4<|eot_id|>"
    assert all(label in (-100, token) for label, token in zip(labels, after, strict=True))
    # A turn that stands alone behind the video is the conversation's first.
    ids, _ = prompt.turn(*turns[0])
    assert after[: len(ids)] == ids


def test_without_a_chat_template_the_mend_is_named(tmp_path):
    folder = save_language(tmp_path / "base", template=None)
    with pytest.raises(UserError, match=r"no chat template; .*instruct"):
        read_tokenizer(folder, KEY)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{KEY}.pretrained: no model in {tmp_path}/nowhere"):
        read_language_config(tmp_path / "nowhere", language(tmp_path / "nowhere"), KEY)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=f"{KEY}.pretrained: no model in {tmp_path}"):
        read_language_config(tmp_path, language(tmp_path), KEY)


@pytest.mark.parametrize(
    ("name", "total", "tied"), [("1B", 1_235_814_400, True), ("3B", 3_212_749_824, True), ("8B", 8_030_261_248, False)]
)
def test_models_of_real_size_have_the_published_parameters(name, total, tied):
    """Built on the meta device from the shapes of the paper's study."""
    models = load_study([Path(__file__).parents[3] / "workflow/studies/paper.yaml"]).models
    counts = count_parameters(meta_model(models, name, 196))
    assert counts["vision"] == 412_987_248
    assert counts["embedding"] + counts["language"] == total
    assert models.language[name].tied == tied
    check_parameters(meta_model(models, name, 196), models, name)


def test_attention_of_real_size_is_in_the_count():
    """At (8B, 32, 196) attention is some 15% of what the language model does; Eq. 1 leaves it out."""
    models = load_study([Path(__file__).parents[3] / "workflow/studies/paper.yaml"]).models
    counted = count_flops(described_model(models, "8B", 196), 32, text_tokens=0)
    decoder = models.language["8B"].decoder(128_256)
    attention = float(decoder.prefill(32 * 196)) - decoder.per_token * 32 * 196 - decoder.head
    assert attention > 0.1 * counted["language"]
    assert counted["language"] == pytest.approx(float(decoder.prefill(32 * 196)), rel=1e-3)
    assert counted["vision"] == pytest.approx(32 * models.vision.encoder.per_frame, rel=1e-3)
