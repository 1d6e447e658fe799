"""Low-rank updates of the towers (LoRA): put in before training, merged into the weights or kept after it.

peft is imported where it is used: it takes a second, and most trainings have no updates.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vlmfrontier.errors import UserError
from vlmfrontier.files import open_to_group
from vlmfrontier.study.training import LoraConfig

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
        mend = f"the layers of {' and '.join(towers) or 'no tower'} are {', '.join(sorted(layers)) or 'not trained'}"
        raise UserError(f"finetune.lora.targets = {settings.targets}: {mend}")
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
