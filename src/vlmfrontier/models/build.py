"""Put models together from the study's configuration, and load what was saved."""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from vlmfrontier.data.digits.scene import VOCABULARY
from vlmfrontier.errors import UserError
from vlmfrontier.models.chat import VIDEO_TAG
from vlmfrontier.models.finite import listed, not_finite
from vlmfrontier.models.prompt import PromptBuilder, check_prompts
from vlmfrontier.models.tokenizer import word_tokenizer
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig
from vlmfrontier.study.models import LanguageConfig, ModelsConfig, VisionConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Numbers that a model computes in and is kept in."""


def digits_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the digits study."""
    return word_tokenizer(VOCABULARY)


def vision_config(vision: VisionConfig, attention: str) -> PreTrainedConfig:
    """Return the transformers configuration of a vision tower without pooling head."""
    family, width = vision.traits, vision.intermediate_size
    return AutoConfig.for_model(
        family.tower_type,
        hidden_size=vision.hidden_size,
        num_hidden_layers=vision.used_layers,
        num_attention_heads=vision.heads,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        attn_implementation=attention,
        **({"mlp_ratio": width // vision.hidden_size} if family.mlp_ratio else {"intermediate_size": width}),
        **({"num_register_tokens": vision.registers} if family.registers else {}),
        **family.settings,
    )


def language_config(language: LanguageConfig, tokenizer: PreTrainedTokenizerBase, attention: str) -> LlamaConfig:
    """Return the transformers configuration of a Llama."""
    return LlamaConfig(
        hidden_size=language.hidden_size,
        intermediate_size=language.mlp_size,
        num_hidden_layers=language.layers,
        num_attention_heads=language.heads,
        num_key_value_heads=language.key_value_heads,
        vocab_size=language.vocabulary or len(tokenizer),
        tie_word_embeddings=language.tied,
        head_dim=language.head_size,
        max_position_embeddings=8192,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.04,
        attn_implementation=attention,
    )


def build_model(
    models: ModelsConfig, language: str, tokenizer: PreTrainedTokenizerBase, tokens_per_frame: int, vision: str = ""
) -> VideoVLM:
    """Return a randomly initialised `VideoVLM` of the study's models called `vision` and `language`."""
    model = VideoVLM(described_model(models, language, tokens_per_frame, vision, tokenizer))
    check_parameters(model, models, language, vision)
    return model


def described_model(
    models: ModelsConfig,
    language: str,
    tokens_per_frame: int,
    vision: str = "",
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> VideoVLMConfig:
    """Return the configuration that the shapes of `vision` and `language` describe: a tower of the vision model's
    family and a Llama.

    Without a tokenizer the special tokens are those of the digits study, which changes no shape of real models.
    """
    tokenizer = tokenizer or digits_tokenizer()
    return VideoVLMConfig(
        vision_config=vision_config(models.towers[vision], models.attention),
        text_config=language_config(models.language[language], tokenizer, models.attention),
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TAG),
        tokens_per_frame=tokens_per_frame,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def meta_model(models: ModelsConfig, language: str, tokens_per_frame: int, vision: str = "") -> VideoVLM:
    """Return the model that the shapes describe on the meta device: of any size, in no memory."""
    with torch.device("meta"):
        return VideoVLM(described_model(models, language, tokens_per_frame, vision))


def count_parameters(model: VideoVLM) -> dict[str, int]:
    """Return the parameters by group: vision (M), projector, embedding, language (N).

    N is all of the language model but its input embedding. The groups sum to the total, tied weights counted once.
    """
    embedding = model.get_input_embeddings().weight.numel()
    groups = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    counts = {**groups, "language": groups["language"] - embedding, "embedding": embedding}
    total = sum(p.numel() for p in model.parameters())
    assert sum(counts.values()) == total, f"parameter groups {counts} do not sum to {total}"
    return counts


def save_model(model: VideoVLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write `model` and `tokenizer` to `folder` as transformers does, all weights in one safetensors file.

    What ends an answer goes into the generation config, so that `generate` stops where our own evaluation does. Raises
    `UserError` if weights are not finite: such a model is not kept.
    """
    if names := not_finite(model.named_parameters()):
        raise UserError(f"{folder}: {listed(names)}; nothing is saved: lower the learning rates, or use precision fp32")
    stops = PromptBuilder(tokenizer).stop_token_ids
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)


def start_prompt(folder: Path) -> PromptBuilder:
    """Return what writes the prompts of the starting model in `folder`, after trying its chat template.

    Raises `UserError` if there is no model or its template cannot be used.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        rows = VideoVLMConfig.from_pretrained(folder, local_files_only=True).text_config.vocab_size
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no starting model with its tokenizer here ({str(error).splitlines()[0]})") from None
    return check_prompts(tokenizer, str(folder), rows)


def check_parameters(model: VideoVLM, models: ModelsConfig, language: str, vision: str = "") -> None:
    """Raise `AssertionError` unless the built towers hold the M and N that plan and cost were computed with."""
    counts = count_parameters(model)
    planned = {"vision": models.towers[vision].parameters, "language": models.language[language].parameters}
    built = {name: counts[name] for name in planned}
    assert built == planned, f"built {built}, planned {planned}"


def load_model(
    folder: Path, tokens_per_frame: int, attention: str = "sdpa", dtype: torch.dtype = torch.float32
) -> VideoVLM:
    """Return the model saved in `folder` as `dtype`, set to V = `tokens_per_frame`. Raises `UserError` if there is
    none."""
    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: no model here (config.json is missing)")
    return VideoVLM.from_pretrained(
        folder,
        tokens_per_frame=tokens_per_frame,
        attn_implementation=attention,
        dtype=dtype,
        local_files_only=True,
    )
