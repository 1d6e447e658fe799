"""Fetching published models from a server that speaks as the hub does; nothing else is asked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import CLIPImageProcessorPil

from tests.made_hub import COMMIT, Hub, environment, serving
from tests.published import VISION, language_shape, save_language, save_siglip, save_vision
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import validate, write_study
from vlmfrontier.study.models import ModelsConfig

pytestmark = pytest.mark.slow  # every call is a process that imports torch; without a network the client tries again

LANGUAGE = {"pretrained": "open/llama", **language_shape()}
RATES = {"vision": 1e-3, "projector": 1e-3, "language": 1e-3}
ROWS = {"design": "rows", "rows": [{"N": "x", "T": 2, "V": 4, "n": 8}]}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    save_siglip(root / "open" / "siglip")
    save_vision(root / "open" / "clip", "clip")
    save_language(root / "open" / "llama")
    (root / "open" / "llama" / "pytorch_model.bin").write_bytes(b"a pickle")
    with serving(root) as hub:
        yield hub


def fetch(
    folder: Path, address: str, language: dict | None = None, vision: dict | None = None
) -> subprocess.CompletedProcess:
    """Fetch the models of a study with `vlmfrontier fetch models`."""
    study = validate(
        {
            "study": "tiny",
            "models": {
                "start": None,
                "vision": {"pretrained": "open/siglip", **VISION, **(vision or {})},
                "language": {"x": {**LANGUAGE, **(language or {})}},
            },
            "pretrain": {"align": {"learning_rates": RATES}},
            "finetune": {"learning_rates": RATES},
            "sweep": {"designs": {"few": ROWS}},
            "space": {"N": ["x"]},
        }
    )
    write_study(study, folder / "study.json")
    command = [sys.executable, "-m", "vlmfrontier", "fetch", "models", "--study", str(folder / "study.json")]
    return subprocess.run(
        command, env=environment(address, folder), capture_output=True, text=True, check=False, timeout=600
    )


def test_models_are_fetched_once_without_pickles_and_their_commit_is_kept(hub, tmp_path):
    done = fetch(tmp_path, hub.address, {"revision": COMMIT})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "models/fetched.json").read_text())
    assert {key: value["commit"] for key, value in found.items()} == {
        "models.vision": COMMIT,
        "models.language.x": COMMIT,
    }
    folder = tmp_path / f"models/hub/open--llama@{COMMIT}"
    assert (folder / "model.safetensors").exists()
    assert not list(tmp_path.rglob("*.bin"))
    hub.asked.clear()
    assert fetch(tmp_path, hub.address, {"revision": COMMIT}).returncode == 0
    assert not [path for path in hub.asked if path.endswith(".safetensors")]


def test_another_vision_tower_is_fetched_with_its_colours_and_its_size_is_told(hub, tmp_path):
    done = fetch(tmp_path, hub.address, vision={"pretrained": "open/clip", "family": "clip", "image_size": 38})
    assert done.returncode == 0, done.stderr
    assert "models.vision: position embeddings will be interpolated from 30 to 38 pixels" in done.stdout
    found = json.loads((tmp_path / "models/fetched.json").read_text())["models.vision"]
    assert found["published_image_size"] == 30
    assert found["image_mean"] == list(CLIPImageProcessorPil().image_mean)
    done = fetch(tmp_path, hub.address, vision={"pretrained": "open/clip"})
    assert done.returncode != 0
    assert "models.vision.family = 'siglip', but" in done.stderr
    assert "write family: clip" in done.stderr


def test_a_pull_requests_revision_is_one_folder(tmp_path):
    vision = {"pretrained": "a/b", "revision": "refs/pr/1", **VISION}
    models = ModelsConfig.model_validate({"vision": vision, "language": {"x": LANGUAGE}})
    assert ResultsFolder(tmp_path).tower(models, models.vision) == tmp_path / "models/hub/a--b@refs--pr--1"


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ({"pretrained": "closed/llama"}, "the model is behind a licence; accept the licence on the model's page"),
        ({"pretrained": "open/nothing"}, "the hub has no such model"),
        ({"revision": "f00"}, "models.language.x.revision = 'f00': open/llama has no such commit"),
        ({"layers": 3}, "models.language.x.layers = 3, but"),
    ],
)
def test_what_cannot_be_fetched_or_is_another_model_is_named(hub, tmp_path, language, message):
    done = fetch(tmp_path, hub.address, language)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]  # after the hub's own progress
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models/fetched.json").exists()


def test_without_a_network_the_mend_is_named(tmp_path):
    done = fetch(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "this step needs a node with network" in done.stderr
