"""Tiny models in the published layouts, made and saved by transformers itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import validate, write_study
from vlmfrontier.study.root import Study

TEXTS = ["what digit is white ?", "the red 3 moves to b2", "describe the video", "yellow green blue 1 2 4 5 6 7 8 9"]
HEADER, END = ("<|start_header_id|>", "<|end_header_id|>"), "<|eot_id|>"
SPECIAL = ["<|begin_of_text|>", *HEADER, END, "<|finetune_right_pad_id|>"]
# As Llama 3.2's: a system header with today's date, and every message with its role.
TEMPLATE = (
    "{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' }}"
    "{% if date_string is not defined %}{{ strftime_now('%d %b %Y') }}{% else %}{{ date_string }}{% endif %}"
    "{{ '<|eot_id|>' }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
VISION = {"hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 48, "image_size": 30, "patch_size": 4}
"""The tower's shape in the words of a study: 30 pixels in patches of 4 give 7 × 7 features, as 384 and 14 give 27."""


DINOV2 = {**VISION, "intermediate_size": 64}  # told as a multiple of the hidden size
TOWERS = {
    "siglip": VISION,
    "clip": {"family": "clip", **VISION},
    "dinov2": {"family": "dinov2", **DINOV2},
    "dinov2_with_registers": {"family": "dinov2_with_registers", "registers": 3, **DINOV2},
    "vit": {"family": "vit", **VISION},
}
"""A tower of every family in the words of a study."""
SHORT = {"batch_size": 4, "save_every": 2, "log_every": 1}


def language_shape(**more) -> dict:
    """Return the language model's shape in the words of a study."""
    shape = {"hidden_size": 32, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 64}
    return {**shape, "vocabulary": len(tokenizer()), **more}


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with Llama 3's special tokens and no token for padding or video."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=SPECIAL[0], eos_token=END)
    fast.chat_template = template
    return fast


def save_siglip(folder: Path) -> Path:
    """Write a SigLIP with both of its towers, as published."""
    return save_vision(folder, "siglip")


def save_vision(folder: Path, family: str, **more) -> Path:
    """Write a vision model of `family` as published: SigLIP and CLIP with their text tower, a ViT as a classifier, each
    with the image processor it is published with."""
    torch.manual_seed(0)
    model = _vision_models()[family]({**_published_words(TOWERS[family]), **more})
    if family != "siglip":
        with torch.no_grad():  # class tokens, registers and biases begin as zeros, which would hide a mistake
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    PROCESSORS[family]().save_pretrained(folder)
    return folder


PROCESSORS = {
    "siglip": SiglipImageProcessorPil,
    "clip": CLIPImageProcessorPil,
    "dinov2": BitImageProcessorPil,
    "dinov2_with_registers": BitImageProcessorPil,
    "vit": ViTImageProcessorPil,
}
"""The image processor that each family is published with."""


def _published_words(shape: dict) -> dict:
    words = {
        "hidden_size": shape["hidden_size"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "image_size": shape["image_size"],
        "patch_size": shape["patch_size"],
    }
    if "dinov2" not in shape.get("family", ""):
        return {**words, "intermediate_size": shape["intermediate_size"]}
    registers = {"num_register_tokens": shape["registers"]} if "registers" in shape else {}
    return {**words, "mlp_ratio": shape["intermediate_size"] // shape["hidden_size"], **registers}


def _vision_models() -> dict[str, Callable[[dict], PreTrainedModel]]:
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 20, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return {
        "siglip": lambda shape: SiglipModel(SiglipConfig(vision_config=shape, text_config=text)),
        "clip": lambda shape: CLIPModel(CLIPConfig(vision_config=shape, text_config=text)),
        "dinov2": lambda shape: Dinov2Model(Dinov2Config(**shape)),
        "dinov2_with_registers": lambda shape: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**shape)),
        "vit": lambda shape: ViTForImageClassification(ViTConfig(**shape)),
    }


def save_language(folder: Path, family: str = "llama", template: str | None = TEMPLATE, **more) -> Path:
    """Write a language model of `family` (llama, qwen2, qwen3) with its tokenizer, as published."""
    kinds = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "tie_word_embeddings": True, "vocab_size": len(tokenizer())}
    shape |= {"bos_token_id": 0, "eos_token_id": 3, "pad_token_id": None, "initializer_range": 0.2}
    config, model = kinds[family]
    model(config(**{**shape, **more})).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def study_of(hub: Path, family: str = "siglip", **finetune_settings) -> Study:
    """Return a study of one run whose towers are the folders `family` and `llama` in `hub`."""
    rows = [{"N": "x", "T": 2, "V": 4, "n": 24}]
    rates = {"vision": 1e-3, "projector": 5e-3, "language": 3e-3}
    return validate(
        {
            "study": "tiny",
            "data": {"digits": {"train": 24, "test": 10, "seed": 3}, "turns": "sequential"},
            "models": {
                "start": None,
                "vision": {"pretrained": str(hub / family), **TOWERS[family]},
                "language": {"x": {"pretrained": str(hub / "llama"), **language_shape()}},
            },
            "pretrain": {
                "align": {"train": ["projector"], "epochs": 1, "grids": [1, 2, 7], "learning_rates": rates, **SHORT}
            },
            "finetune": {**SHORT, "learning_rates": rates, **finetune_settings},
            "sweep": {"designs": {"few": {"design": "rows", "rows": rows}}},
            "space": {"N": ["x"]},
        }
    )


def started(study: Study, results: ResultsFolder, what: str, *more: str, script: str = "finetune") -> subprocess.Popen:
    """Start a training of `study` as one of two processes on CPUs."""
    write_study(study, results.root / "study.json")
    asked = ["align", "--language"] if script == "models" else ["--run"]
    command = [sys.executable, f"scripts/{script}.py", "--study", str(results.root / "study.json"), *asked, what]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"}
    return subprocess.Popen(
        [*command, "--gpus", "2", "--without-cuda", *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
