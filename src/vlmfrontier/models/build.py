"""Models put together from the study's configuration, their parameters and FLOPs counted.

FLOPs are counted operation by operation on the meta device: no weights, no memory, real sizes.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch.utils.flop_counter import FlopCounterMode
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
from vlmfrontier.models.prompt import PromptBuilder, check_prompts
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig, additive
from vlmfrontier.models.vision import with_attention
from vlmfrontier.study.models import LanguageConfig, ModelsConfig, VisionConfig

PAD, EOS, VIDEO = "<pad>", "<eos>", "<video>"
# A question and its answer, nothing else: the models are tiny and every token counts.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ ' ' + message.content + ' ' + eos_token }}"
    "{% else %}{{ message.content }}{% endif %}"
    "{% endfor %}"
)


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are `words`, separated by blanks, behind the three special tokens."""
    vocabulary = {word: i for i, word in enumerate((PAD, EOS, VIDEO, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=None))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        additional_special_tokens=[VIDEO],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


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


def _as_eager(config: VideoVLMConfig) -> VideoVLMConfig:
    """Return a copy with eager attention: fused attention on a CPU is silently left out of the count."""
    copy = VideoVLMConfig.from_dict(config.to_dict())
    for part in (copy, copy.vision_config, copy.text_config):
        with_attention(part, "eager")
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
                features = model.encode_images(pixels)
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
