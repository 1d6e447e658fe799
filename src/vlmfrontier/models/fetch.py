"""Published models from the Hugging Face hub into folders, and the check that they are what the study says."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from vlmfrontier.data.origins import translate_errors
from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.models.pretrained import (
    image_size_of,
    read_language_config,
    read_normalisation,
    read_tokenizer,
    read_vision_config,
)
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.models import TowerConfig
from vlmfrontier.study.root import Study

WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
"""Configuration, weights without pickles, tokenizer."""
NOT_WANTED = ["original/*", "onnx/*"]


def fetch_models(study: Study, results: ResultsFolder) -> dict[str, dict]:
    """Fetch every tower of `study` that the hub has, look at all of them, write and return what was found by key.

    Raises `UserError` if one cannot be fetched, has no weights in safetensors, or is not the model that the study
    describes.
    """
    if not study.models.pretrained:
        raise UserError(f"study {study.study} has no published models (models.….pretrained): there is nothing to fetch")
    found = {}
    for name, tower in study.models.towers.items():
        key = f"models.vision.{name}".rstrip(".")
        commit = _fetch(key, tower, results.tower(study.models, tower))
        folder = results.tower(study.models, tower)
        read_vision_config(folder, tower, key)
        size, colours = image_size_of(folder, key), read_normalisation(folder)
        found[key] = _record(tower, folder, commit, key) | {"published_image_size": size, **colours}
        if size != tower.image_size:
            print(f"{key}: position embeddings will be interpolated from {size} to {tower.image_size} pixels")
    for name, tower in study.models.language.items():
        key = f"models.language.{name}"
        commit = _fetch(key, tower, results.tower(study.models, tower))
        folder = results.tower(study.models, tower)
        config = read_language_config(folder, tower, key)
        chat = PromptBuilder(read_tokenizer(folder, key, config.vocab_size)).record()
        found[key] = _record(tower, folder, commit, key) | {"chat": chat}
        print(f"{key}: {_describe_chat(chat)}")
    results.models.mkdir(parents=True, exist_ok=True)
    write_json(results.fetched_models, found)
    return found


def _describe_chat(chat: dict[str, str | None]) -> str:
    """Return what a chat template does, in words."""
    parts = [f"its chat template ends answers with {chat['end_of_turn']!r}"]
    if chat["switch"]:
        parts.append(f"is used with {chat['switch']}")
    if chat["kept"]:
        parts.append(f"would take {chat['kept']!r} out of turns that another follows, where it stays in training")
    return "; ".join(parts)


def _fetch(key: str, tower: TowerConfig, folder: Path) -> str | None:
    """Fetch a tower into `folder` and return its commit; None for a folder of the user's own."""
    if not tower.from_hub:
        return None
    where = f"{key}.pretrained = {tower.pretrained!r}"
    with translate_errors(where, tower.pretrained, f"{key}.revision = {tower.revision!r}"):
        commit = HfApi().model_info(tower.pretrained, revision=tower.revision).sha
        snapshot_download(
            tower.pretrained, revision=commit, local_dir=folder, allow_patterns=WANTED, ignore_patterns=NOT_WANTED
        )
    return commit


def _record(tower: TowerConfig, folder: Path, commit: str | None, key: str) -> dict:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        hint = "if the model's page offers them as a pull request, write its number: revision: refs/pr/1"
        raise UserError(f"{key}.pretrained: {folder} has no weights in safetensors; {hint}")
    return {
        "pretrained": tower.pretrained,
        "commit": commit,
        "folder": str(folder),
        "parameters": tower.parameters,
        "gigabytes": round(sum(file.stat().st_size for file in weights) / 1e9, 3),
        "files": [file.name for file in weights],
    }
