"""Write one split of digit videos: mp4 files, conversations and questions, the cache of frames, a manifest."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vlmfrontier.data.conversations import Conversation, write_conversations
from vlmfrontier.data.digits.questions import Question, ask
from vlmfrontier.data.digits.render import render
from vlmfrontier.data.digits.scene import FRAME_SIZE, FRAMES_PER_SECOND, NUM_FRAMES, Scene, sample_scene
from vlmfrontier.data.frames import write_cache
from vlmfrontier.data.video import encode_video
from vlmfrontier.files import write_json
from vlmfrontier.progress import counted

SPLITS = ("align", "dev", "train", "test")  # the position is part of each video's seed


def scene_and_questions(split: str, index: int, seed: int) -> tuple[Scene, list[Question]]:
    """Return video number `index` of `split` and its questions: they depend on these three values alone."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    scene = sample_scene(rng)
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
