"""One split of digit videos: real handwritten digits on grey noise, as mp4 files, with conversations and questions, the
cache of frames, a manifest.

The handwriting is scikit-learn's copy of the UCI set: 1,797 images of 8×8 pixels.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from vlmfrontier.data.conversations import Conversation, write_conversations
from vlmfrontier.data.digits.scene import (
    CELL_EDGES,
    CELLS_PER_SIDE,
    FRAME_SIZE,
    FRAMES_PER_SECOND,
    LAYOUT,
    NUM_FRAMES,
    NUM_VALUES,
    SQUARE_SIZE,
    Digit,
    Question,
    Scene,
    ask,
    sample_scene,
)
from vlmfrontier.data.frames import write_cache
from vlmfrontier.data.video import encode_video
from vlmfrontier.files import write_json
from vlmfrontier.progress import counted

RGB = {
    "white": (235, 235, 235),
    "yellow": (235, 215, 40),
    "red": (255, 60, 40),
    "blue": (60, 110, 255),
    "green": (30, 210, 90),
}
# Disjoint handwriting: what a model is tested on was written by nobody it was trained on.
IMAGE_SPLITS = {"train": (0, 1200), "dev": (1200, 1400), "test": (1400, 1797)}


@cache
def _images() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))
    return (digits.images[order] / 16.0).astype(np.float32), digits.target[order]


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    """Return the square `image` at `size`×`size`, bilinear."""
    old = image.shape[0]
    position = (np.arange(size) + 0.5) * old / size - 0.5
    left = np.clip(np.floor(position).astype(int), 0, old - 2)
    fraction = np.clip(position - left, 0, 1).astype(np.float32)
    rows = image[left] * (1 - fraction)[:, None] + image[left + 1] * fraction[:, None]
    return rows[:, left] * (1 - fraction) + rows[:, left + 1] * fraction


@cache
def sprites(split: str, value: int, size: int) -> np.ndarray:
    """Return the opacity of every handwritten `value` of `split` at `size` pixels: (images, size, size, 1) in 0–1."""
    images, labels = _images()
    first, stop = IMAGE_SPLITS[split]
    chosen = images[first:stop][labels[first:stop] == value]
    return np.stack([_resize(image, size) for image in chosen])[..., None]


def place_digit(digit: Digit, image_split: str, rng: np.random.Generator) -> tuple[tuple[slice, slice], np.ndarray]:
    """Draw handwriting and place of `digit`: the pixels it covers in its cell, and its opacity (size, size, 1)."""
    size = LAYOUT.glyphs[rng.integers(len(LAYOUT.glyphs))]
    bank = sprites(image_split, digit.value, size)
    row, column = divmod(digit.cell, CELLS_PER_SIDE)
    y = int(rng.integers(CELL_EDGES[row], CELL_EDGES[row + 1] - size + 1))
    x = int(rng.integers(CELL_EDGES[column], CELL_EDGES[column + 1] - size + 1))
    return (slice(y, y + size), slice(x, x + size)), bank[rng.integers(len(bank))]


def paint_digit(frame: np.ndarray, digit: Digit, image_split: str, rng: np.random.Generator) -> None:
    """Paint `digit` somewhere inside its cell of `frame` (float, height × width × 3), in place."""
    where, opacity = place_digit(digit, image_split, rng)
    frame[where] = frame[where] * (1 - opacity) + opacity * np.array(RGB[digit.colour], np.float32)


def background(rng: np.random.Generator) -> np.ndarray:
    """Draw a background of dark grey noise, the same in all three channels: (height, width, 3) float."""
    return np.repeat(rng.uniform(0, 40, (FRAME_SIZE, FRAME_SIZE, 1)).astype(np.float32), 3, axis=2)


def paint_square(frame: np.ndarray, corner: tuple[int, int]) -> None:
    """Paint the green square with its upper-left corner at (y, x) into `frame`, in place."""
    y, x = corner
    frame[y : y + SQUARE_SIZE, x : x + SQUARE_SIZE] = RGB["green"]


def render(scene: Scene, image_split: str) -> np.ndarray:
    """Return the video of `scene`, its digits written by hands of `image_split`: (32, 64, 64, 3) uint8."""
    rng = np.random.default_rng(scene.seed)
    ground = background(rng)
    looks = [place_digit(digit, image_split, rng) for digit in scene.digits]
    video = np.empty((NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    for time in range(NUM_FRAMES):
        frame = ground.copy()
        paint_square(frame, scene.square_corner(time))
        for digit, (where, opacity) in zip(scene.digits, looks, strict=True):
            if digit.start <= time < digit.stop:
                frame[where] = frame[where] * (1 - opacity) + opacity * np.array(RGB[digit.colour], np.float32)
        video[time] = frame.clip(0, 255).astype(np.uint8)
    return video


SPLITS = ("align", "dev", "train", "test")  # the position is part of each video's seed


def scene_and_questions(split: str, index: int, seed: int) -> tuple[Scene, list[Question]]:
    """Return video number `index` of `split` and its questions: they depend on these three values alone.

    Those of stage 1, `align`, show familiar digits alone.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    scene = sample_scene(rng, LAYOUT.familiar if split == "align" else NUM_VALUES)
    return scene, ask(scene, rng)


def _video_name(index: int) -> str:
    return f"videos/{index:06d}.mp4"


def _write_video(index: int, folder: Path, split: str, images: str, seed: int) -> list[dict]:
    scene, questions = scene_and_questions(split, index, seed)
    encode_video(render(scene, images), folder / _video_name(index), FRAMES_PER_SECOND)
    return [asdict(q) for q in questions]


def _hash_files(paths: Iterator[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build_split(
    folder: Path,
    split: str,
    count: int,
    images: str,
    seed: int,
    processes: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> dict:
    """Write `count` videos of `split` to `folder` and return the manifest, which is written last.

    `settings` are those that decided the split, by their keys in the configuration, and are kept in the manifest.

    `images` names the handwriting (train, dev or test). `conversations.json` is what training reads, `questions.json`
    what evaluation reads. The bytes do not depend on `processes`.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    write = partial(_write_video, folder=folder, split=split, images=images, seed=seed)
    if processes > 1:
        with ProcessPoolExecutor(min(processes, os.cpu_count() or 1)) as pool:
            asked = list(counted(f"{split}: make", pool.map(write, range(count), chunksize=16), count, "videos"))
    else:
        asked = list(counted(f"{split}: make", map(write, range(count)), count, "videos"))
    conversations, questions = [], []
    for index, items in enumerate(asked):
        name = f"{split}-{index:06d}"
        turns = tuple((q["question"], q["answer"]) for q in items)
        conversations.append(Conversation(name, _video_name(index), turns))
        questions += [{"id": f"{name}-{q['task']}", "video": _video_name(index), **q} for q in items]
    write_conversations(conversations, folder / "conversations.json")
    (folder / "questions.json").write_text(json.dumps(questions, indent=1))
    videos = [(_video_name(i), folder / _video_name(i)) for i in range(count)]
    decoded = counted(f"{split}: decode", videos, count, "videos")
    write_cache(folder, decoded, count * NUM_FRAMES, (FRAME_SIZE, FRAME_SIZE))
    manifest = {
        "split": split,
        "videos": count,
        "questions": len(questions),
        "handwriting": images,
        "seed": seed,
        "hash_videos": _hash_files(path for _, path in videos),
        "hash_conversations": _hash_files(iter([folder / "conversations.json"])),
        **({"settings": dict(settings)} if settings else {}),
    }
    write_json(folder / "manifest.json", manifest)
    return manifest
