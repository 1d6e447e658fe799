"""Weights: saved and loaded, found to be numbers, and their low-rank updates (LoRA).

A diverged training makes NaN or infinite weights, whose answers look like any others. Updates are put in before
training, merged into the weights or kept after it; peft is imported where it is used: it takes a second, and most
trainings have no updates.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedTokenizerBase

from vlmfrontier.errors import UserError
from vlmfrontier.files import open_to_group
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM
from vlmfrontier.study.training import LoraConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Numbers that a model computes in and is kept in."""


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


SHOWN = 3
"""Tensors that a message names."""


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Return the names of those `tensors` that hold a NaN or an infinity; of sharded ones in this process's part."""
    names, flags = [], []
    for name, tensor in tensors:
        own = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        if own.is_floating_point():
            names.append(name)
            flags.append(torch.isfinite(own).all())
    if not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all()):
        return []
    return [name for name, flag in zip(names, flags, strict=True) if not flag]


def listed(names: list[str]) -> str:
    """Return how many tensors these are and the first of them, for a message."""
    more = ", …" if len(names) > SHOWN else ""
    return f"{len(names)} tensors hold NaN or infinite numbers ({', '.join(names[:SHOWN])}{more})"


class SavedWeights(NamedTuple):
    """What the weight files of a model say, each read once."""

    hash: str
    """As `files.weights_hash` gives it."""
    not_finite: list[str]
    """Tensors that hold a NaN or an infinity."""


def read_weights(folder: Path) -> SavedWeights:
    """Return hash and soundness of the weights saved in `folder`. Raises `UserError` if a file is damaged."""
    total, names = hashlib.sha256(), []
    for path in sorted(folder.glob("*.safetensors")):
        digest = hashlib.sha256()
        try:
            names += [name for name, tensor in _tensors(path, digest.update) if not_finite([(name, tensor)])]
        except SafetensorError as error:
            raise UserError(f"{path}: damaged ({error}); make the model again") from None
        total.update(digest.digest())
    return SavedWeights(total.hexdigest()[:16], names)


def _tensors(path: Path, see: Callable[[bytes], object]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a file in the order of their bytes, and show `see` all bytes of the file."""
    with path.open("rb") as file:
        length = file.read(8)
        see(length + file.read(int.from_bytes(length, "little")))
    with safe_open(path, framework="pt") as file:
        for name in file.offset_keys():
            tensor = file.get_tensor(name)
            see(tensor.reshape(-1).view(torch.uint8).numpy())
            yield name, tensor


def check_saved(folder: Path, hint: str) -> str:
    """Return the hash of the weights saved in `folder`. Raises `UserError`, which ends with `hint`, if one is not
    finite."""
    saved = read_weights(folder)
    if saved.not_finite:
        raise UserError(f"{folder}: {listed(saved.not_finite)}: the training that made them diverged; {hint}")
    return saved.hash


TOWERS = ("vision", "language")
_ADAPTER = "default"
_UPDATE = "lora_"
"""What the names of the updates' weights have in them, and no others."""


def add_lora(model: nn.Module, settings: LoraConfig, train: Sequence[str]) -> None:
    """Give the linear layers that `settings` names, in the towers that `train` names, an update; freeze all else.

    Raises `UserError` if these towers have none of the layers.
    """
    import peft  # noqa: PLC0415

    towers = [tower for tower in TOWERS if tower in train]
    layers = {name.rsplit(".", 1)[-1] for tower in towers for name, _ in getattr(model, tower).named_modules()}
    if not layers & set(settings.targets):
        hint = f"the layers of {' and '.join(towers) or 'no tower'} are {', '.join(sorted(layers)) or 'not trained'}"
        raise UserError(f"finetune.lora.targets = {settings.targets}: {hint}")
    peft.inject_adapter_in_model(_config(settings, towers), model, _ADAPTER)


def _config(settings: LoraConfig, towers: Sequence[str], **more):
    import peft  # noqa: PLC0415

    return peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=rf"(?:{'|'.join(towers)})\..*\.(?:{'|'.join(settings.targets)})",
        **more,
    )


def updates(part: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the updates in `part`; none where there are no updates."""
    return [parameter for name, parameter in part.named_parameters() if _UPDATE in name]


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Add every update to its weights and take it out: what is left is the model as it was built."""
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())


def save_adapter(model: nn.Module, settings: LoraConfig, train: Sequence[str], folder: Path) -> None:
    """Write the updates and the projector to `folder`, which `peft.PeftModel.from_pretrained` lays over the start."""
    folder.mkdir(parents=True, exist_ok=True)
    towers = [tower for tower in TOWERS if tower in train]
    _config(settings, towers, modules_to_save=["projector"], inference_mode=True).save_pretrained(folder)
    kept = {
        f"base_model.model.{name.replace(f'.{_ADAPTER}.', '.')}": tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if _UPDATE in name or name.startswith("projector.")
    }
    save_file(kept, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    open_to_group(folder)


def device_name() -> str:
    """Return the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
