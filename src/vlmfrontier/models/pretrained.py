"""Published models as towers: their configuration held to the study's shape, their weights without hand renaming.

transformers knows the published layouts; what is added here is that nothing may be missing, and that plan and cost were
counted for the very model that is loaded.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from vlmfrontier.errors import UserError
from vlmfrontier.models.prompt import VIDEO_TAG
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig
from vlmfrontier.study.models import LanguageConfig, VisionConfig

# The study's keys and what the published configurations call them.
_VISION_KEYS = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "image_size": "image_size",
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
PADDING_TOKENS = ("<|finetune_right_pad_id|>", "<|endoftext|>")
"""What padding is called by models whose tokenizer names no padding token: Llama 3, Qwen."""


def read_vision_config(folder: Path, vision: VisionConfig, key: str, attention: str = "sdpa") -> PreTrainedConfig:
    """Return the configuration of the SigLIP tower in `folder`, without its pooling head.

    `key` is where `vision` stands in the study. Raises `UserError` for another family or another shape.
    """
    config = _read_config(folder, key)
    config = getattr(config, "vision_config", config)
    if config.model_type != "siglip_vision_model":
        raise UserError(f"{key}.pretrained: {folder} is a {config.model_type}; the vision model must be a SigLIP")
    _check_shape(vision, config, _VISION_KEYS, key, folder)
    config.vision_use_head = False  # the features are taken before it
    config._attn_implementation = attention  # transformers has no public setter on a configuration
    _check_count(vision.parameters, config, AutoModel, key, folder)
    return config


def read_language_config(folder: Path, language: LanguageConfig, key: str, attention: str = "sdpa") -> PreTrainedConfig:
    """Return the configuration of the language model in `folder`.

    `key` is where `language` stands in the study. Raises `UserError` for another shape, or a family whose parameters
    are not counted right.
    """
    config = _read_config(folder, key)
    _check_shape(language, config, _LANGUAGE_KEYS, key, folder)
    config._attn_implementation = attention
    _check_count(language.parameters, config, AutoModelForCausalLM, key, folder)
    return config


def read_tokenizer(folder: Path, key: str):
    """Return the tokenizer in `folder` with a token for the video and one for padding.

    The video's token may lie behind the embedding's last row: its places are filled before they are looked up, so that
    no row is added. Raises `UserError` if there is no tokenizer or it has no chat template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{key}.pretrained: {folder} has no tokenizer ({_first_line(error)})") from None
    if tokenizer.chat_template is None:
        raise UserError(f"{key}.pretrained: {folder} has no chat template; take the model's instruct variant")
    tokenizer.add_tokens([VIDEO_TAG], special_tokens=True)
    if tokenizer.pad_token is None:
        known = tokenizer.get_vocab()
        tokenizer.pad_token = next((t for t in PADDING_TOKENS if t in known), tokenizer.eos_token)
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
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.device("meta"):  # the towers are replaced; only the projector is really made
        model = VideoVLM(config)
    model.projector.to_empty(device="cpu")
    for layer in model.projector:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    model.vision = _load(AutoModel, folders[0], vision)
    model.language = _load(AutoModelForCausalLM, folders[1], language)
    return model


def _load(auto: type, folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the text tower of a SigLIP is left out on purpose
    try:
        model, told = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=config._attn_implementation,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except OSError as error:
        raise UserError(f"{folder}: no weights in safetensors ({_first_line(error)})") from None
    finally:
        logging.set_verbosity(verbosity)
    lacking = sorted({*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])})
    if lacking:
        raise UserError(f"{folder}: {len(lacking)} weights are missing or of another shape, the first {lacking[0]}")
    return model


def _read_config(folder: Path, key: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{key}.pretrained: no model in {folder} ({_first_line(error)})") from None


def _check_shape(given: object, config: PreTrainedConfig, keys: Mapping[str, str], key: str, folder: Path) -> None:
    for own, published in keys.items():
        said, found = getattr(given, own), getattr(config, published, None)
        if said != found:
            raise UserError(f"{key}.{_WRITTEN.get(own, own)} = {said}, but {folder} has {found} ({published})")


def _check_count(planned: int, config: PreTrainedConfig, auto: type, key: str, folder: Path) -> None:
    """Raise `UserError` unless the model has the parameters that plan and cost were counted with."""
    with torch.device("meta"):
        model = auto.from_config(config)
    embedding = model.get_input_embeddings() if auto is AutoModelForCausalLM else None
    found = sum(p.numel() for p in model.parameters()) - (0 if embedding is None else embedding.weight.numel())
    if found != planned:
        raise UserError(
            f"{key}: its shape counts {planned:,} parameters, but {folder} has {found:,}; compare head_size, qkv_bias "
            "and qk_norm with its config.json"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
