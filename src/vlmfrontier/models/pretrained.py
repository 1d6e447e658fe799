"""Published models as towers: their configuration held to the study's shape, their weights without hand renaming.

transformers knows the published layouts; what is added here is that nothing may be missing, and that plan and cost were
counted for the very model that is loaded.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging

from vlmfrontier.errors import UserError
from vlmfrontier.models.chat import VIDEO_TAG, settle_chat
from vlmfrontier.models.prompt import check_prompts
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig
from vlmfrontier.models.vision import (
    HALF,
    attention_of,
    build_tower,
    changed,
    resized,
    with_attention,
    without_unused,
)
from vlmfrontier.study.models import LanguageConfig, VisionConfig
from vlmfrontier.towers import FAMILIES, VisionFamily

# The study's keys and what the published configurations call them.
_VISION_KEYS = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "patch_size": "patch_size",
}
_LANGUAGE_KEYS = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "mlp_size": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
_WRITTEN = {"key_value_heads": "kv_heads", "mlp_size": "intermediate_size"}
Shape = dict[str, tuple[Any, str]]
"""Values of a published configuration, and what they are called there, by the study's keys."""
PADDING_TOKENS = ("<|finetune_right_pad_id|>", "<|endoftext|>")
"""What padding is called by models whose tokenizer names no padding token: Llama 3, Qwen."""


def read_vision_config(folder: Path, vision: VisionConfig, key: str, attention: str = "sdpa") -> PreTrainedConfig:
    """Return the configuration of the tower in `folder` as it is built: at the study's image size, without pooling head
    and dropped layers.

    `key` is where `vision` stands in the study. Raises `UserError` for another family or another shape.
    """
    family, config = vision.traits, _published_tower(folder, key)
    if config.model_type != family.tower_type:
        known = [name for name, other in FAMILIES.items() if other.tower_type == config.model_type]
        hint = f"write family: {known[0]}" if known else f"a vision model must be one of {', '.join(FAMILIES)}"
        raise UserError(f"{key}.family = {vision.family!r}, but {folder} is a {config.model_type}; {hint}")
    if getattr(config, "use_swiglu_ffn", False):
        raise UserError(f"{key}.pretrained: {folder} has gated MLPs, which are not counted; take a smaller DINOv2")
    _check_shape(vision, _vision_shape(config, family), key, folder)
    built = {"num_hidden_layers": vision.used_layers, "image_size": vision.image_size, **family.settings}
    config = changed(with_attention(config, attention), built)
    with torch.device("meta"):
        tower = build_tower(config)
    _check_count(vision.parameters, _num_parameters(tower), key, folder, "qkv_bias of its config.json must be true")
    return config


def image_size_of(folder: Path, key: str = "models.vision") -> int:
    """Return the pixels a side that the tower in `folder` was published for."""
    return _published_tower(folder, key).image_size


def read_normalisation(folder: Path) -> dict[str, list[float]]:
    """Return `image_mean` and `image_std` of the published image processor in `folder`.

    Raises `UserError` if there is none, or if it does something else to colours.
    """
    file = "preprocessor_config.json"
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(folder, local_files_only=True)
    except (OSError, ValueError):
        raise UserError(f"{folder}: {file} is missing, which says how pixels are normalised; fetch it too") from None
    if not settings.get("do_normalize", True) or not math.isclose(settings.get("rescale_factor", 1 / 255), 1 / 255):
        raise UserError(f"{folder}: {file} does not normalise pixels of 0 to 255; only that is known here")
    lacking = [name for name in ("image_mean", "image_std") if len(settings.get(name) or ()) != len(HALF)]
    if lacking:
        raise UserError(f"{folder}: {file} has no {lacking[0]} of three colours")
    return {name: settings[name] for name in ("image_mean", "image_std")}


def _vision_shape(config: PreTrainedConfig, family: VisionFamily) -> Shape:
    shape = _named(config, _VISION_KEYS)
    if family.mlp_ratio:
        shape["intermediate_size"] = config.hidden_size * config.mlp_ratio, "hidden_size * mlp_ratio"
    if family.registers:
        shape["registers"] = config.num_register_tokens, "num_register_tokens"
    return shape


def read_language_config(folder: Path, language: LanguageConfig, key: str, attention: str = "sdpa") -> PreTrainedConfig:
    """Return the configuration of the language model in `folder`.

    `key` is where `language` stands in the study. Raises `UserError` for another shape, or a family whose parameters
    are not counted right.
    """
    config = _read_config(folder, key)
    _check_shape(language, _named(config, _LANGUAGE_KEYS), key, folder)
    with_attention(config, attention)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    found = _num_parameters(model) - model.get_input_embeddings().weight.numel()
    hint = "compare head_size, qkv_bias and qk_norm with its config.json"
    _check_count(language.parameters, found, key, folder, hint)
    return config


def read_tokenizer(folder: Path, key: str, rows: int | None = None) -> PreTrainedTokenizerBase:
    """Return the tokenizer in `folder` with a token for the video, one for padding, and a chat template that was tried.

    The video's token may lie behind the embedding's last row: its places are filled before they are looked up, so that
    no row is added. `rows` is how many tokens the model knows. Raises `UserError` if there is no tokenizer or its chat
    template cannot be used.
    """
    where = f"{key}.pretrained: {folder}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{where} has no tokenizer ({_first_line(error)})") from None
    tokenizer.add_tokens([VIDEO_TAG], special_tokens=True)
    chat = settle_chat(tokenizer, where)
    if tokenizer.pad_token is None:
        known = tokenizer.get_vocab()
        tokenizer.pad_token = next((t for t in PADDING_TOKENS if t in known), tokenizer.eos_token or chat.end)
    check_prompts(tokenizer, where, rows)
    return tokenizer


def assemble(vision: PreTrainedConfig, language: PreTrainedConfig, tokenizer, folders: tuple[Path, Path]) -> VideoVLM:
    """Return a `VideoVLM` of the towers in `folders` (vision, language) with a new projector, in 32 bits.

    Raises `UserError` if a weight of a tower is missing from its folder.
    """
    config = VideoVLMConfig(
        vision_config=vision,
        text_config=language,
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TAG),
        tokens_per_frame=1,
        **read_normalisation(folders[0]),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.device("meta"):  # the towers are replaced; only the projector is really made
        model = VideoVLM(config)
    model.projector.to_empty(device="cpu")
    for layer in model.projector:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    trained_at = changed(vision, {"image_size": image_size_of(folders[0])})
    model.vision = resized(_load(AutoModel, folders[0], trained_at, without_unused), vision.image_size)
    model.language = _load(AutoModelForCausalLM, folders[1], language)
    return model


def _load(
    auto: type,
    folder: Path,
    config: PreTrainedConfig,
    prepare: Callable[[PreTrainedModel], PreTrainedModel] = lambda model: model,
) -> PreTrainedModel:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a text tower, a pooling head and dropped layers are left out on purpose
    try:
        model, told = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention_of(config),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except OSError as error:
        raise UserError(f"{folder}: no weights in safetensors ({_first_line(error)})") from None
    finally:
        logging.set_verbosity(verbosity)
    model = prepare(model)
    lacking = {*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])}
    lacking = sorted(lacking & model.state_dict().keys())
    if lacking:
        raise UserError(f"{folder}: {len(lacking)} weights are missing or of another shape, the first {lacking[0]}")
    return model


def _read_config(folder: Path, key: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{key}.pretrained: no model in {folder} ({_first_line(error)})") from None


def _published_tower(folder: Path, key: str) -> PreTrainedConfig:
    config = _read_config(folder, key)
    return getattr(config, "vision_config", config)


def _named(config: PreTrainedConfig, keys: Mapping[str, str]) -> Shape:
    return {own: (getattr(config, published, None), published) for own, published in keys.items()}


def _check_shape(given: object, shape: Shape, key: str, folder: Path) -> None:
    for own, (found, published) in shape.items():
        said = getattr(given, own)
        if said != found:
            raise UserError(f"{key}.{_WRITTEN.get(own, own)} = {said}, but {folder} has {found} ({published})")


def _num_parameters(model: PreTrainedModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _check_count(planned: int, found: int, key: str, folder: Path, hint: str) -> None:
    """Raise `UserError` unless the model has the parameters that plan and cost were counted with."""
    if found != planned:
        raise UserError(f"{key}: its shape counts {planned:,} parameters, but {folder} has {found:,}; {hint}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
