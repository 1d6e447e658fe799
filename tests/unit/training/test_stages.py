"""Pretraining stages learn something in a few steps, and their examples do not depend on who asks for them."""

import json

import numpy as np
import pytest
import torch

from vlmfrontier.data.digits.build import build_split
from vlmfrontier.data.digits.scene import CELLS_PER_SIDE, NUM_FRAMES, sample_scene
from vlmfrontier.models.build import digits_tokenizer
from vlmfrontier.models.weights import load_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import validate
from vlmfrontier.training.align import AlignmentExamples, align, encode_split
from vlmfrontier.training.pretrain import (
    StillFrames,
    Transcripts,
    collate_frames,
    overlapping,
    pretrain_language,
    pretrain_vision,
    transcript,
)

SHORT = {"save_every": 100, "log_every": 1}


@pytest.fixture(scope="module")
def study():
    return validate(
        {
            "study": "small",
            "models": {"start": None, "language": {"xs": {"hidden_size": 24, "layers": 2, "heads": 2}}},
            "sweep": {
                "center": {"N": "xs", "T": 2, "V": 4},
                "designs": {"few": {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 8}]}},
            },
            "pretrain": {
                "vision": {"steps": 12, "batch_size": 8, "grids": [1, 2, 8], **SHORT},
                "language": {"steps": 12, "batch_size": 8, "learning_rate": 4e-3, "transcript_length": 32, **SHORT},
                "align": {
                    "videos": 12,
                    "steps": 6,
                    "batch_size": 4,
                    "max_frames": 4,
                    "grids": [1, 2, 8],
                    "learning_rates": {"projector": 5e-3, "language": 3e-3},
                    **SHORT,
                },
            },
        }
    )


def first_and_last_loss(state) -> tuple[float, float]:
    losses = [e["loss"] for e in map(json.loads, (state / "train.jsonl").read_text().splitlines()) if "loss" in e]
    return losses[0], losses[-1]


def starts(state) -> int:
    return sum(json.loads(line).get("event") == "started" for line in (state / "train.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_all_stages_from_scratch_to_a_model_that_loads(study, tmp_path):
    models, split = tmp_path / "models", tmp_path / "data" / "align"
    report = pretrain_vision(study, models)
    first, last = first_and_last_loss(models / "state/vision")
    assert last < 0.9 * first
    assert set(report["digits_read_right"]) == {1, 4, 64}

    pretrain_language(study, "xs", models)
    first, last = first_and_last_loss(models / "state/language-xs")
    assert last < 0.9 * first

    build_split(split, "align", 12, "train", study.pretrain.seed)
    encode_split(models / "vision", split, split / "features.npy")
    align(study, "xs", ResultsFolder(tmp_path))
    loaded = load_model(models / "xs", 4)
    with torch.no_grad():
        pixels = torch.zeros(1, 2, 3, 64, 64)
        assert loaded.encode_video(pixels).shape == (1, 8, 24)
    features = np.load(split / "features.npy")
    assert features.shape == (12, NUM_FRAMES, 64, 64)

    assert pretrain_vision(study, models)["weights"] == report["weights"]
    assert pretrain_language(study, "xs", models, force="request")["resumed_at"] == 0
    align(study, "xs", ResultsFolder(tmp_path))
    for state, trained in (("vision", 1), ("language-xs", 2), ("align-xs", 1)):  # the same weights came out again
        assert starts(models / "state" / state) == trained


def test_still_frames_depend_on_seed_and_index_alone():
    a, b = StillFrames(10, seed=1), StillFrames(99, seed=1)
    assert np.array_equal(a[3]["frame"], b[3]["frame"])
    assert not np.array_equal(a[3]["frame"], StillFrames(10, seed=2)[3]["frame"])
    batch = collate_frames([a[i] for i in range(4)])
    assert batch["pixels"].shape == (4, 3, 64, 64)
    assert int((batch["contents"] > 0).sum(1).min()) >= 2


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_every_cell_is_read_from_some_token(side):
    tokens, cells = overlapping(side)
    assert set(cells.tolist()) == set(range(CELLS_PER_SIDE**2))
    assert int(tokens.max()) < side**2
    if side == CELLS_PER_SIDE:
        assert torch.equal(tokens, cells)


def test_a_transcript_tells_what_frames_show():
    scene = sample_scene(np.random.default_rng(4))
    told = transcript(scene, NUM_FRAMES)
    for digit in scene.digits:
        assert sum(words[:2] == (digit.colour, str(digit.value)) for words in told) >= digit.stop - digit.start
    assert sum(words[0] == "green" for words in told) == NUM_FRAMES
    assert sum(words[0] == "white" for words in transcript(scene, 1)) == 2


def test_transcripts_that_are_too_long_lose_their_beginning():
    tokenizer = digits_tokenizer()
    examples = Transcripts(tokenizer, 20, length=8, max_frames=16, seed=0)
    green = tokenizer.convert_tokens_to_ids("green")
    for i in range(20):
        places = examples[i]["transcript"]
        assert places.shape == (8, 3)
        assert (places == green).any()


def test_alignment_batches_share_their_shape_and_stay_under_the_limit(study):
    settings = study.pretrain.align.model_copy(update={"steps": 400, "max_frames": 16, "max_tokens": 100})
    features = np.zeros((12, NUM_FRAMES, 64, 64), np.float16)
    examples = AlignmentExamples(digits_tokenizer(), settings, features, 7, 7)
    shapes = [examples.shape_of(b) for b in range(400)]
    assert max(s.frames * s.tokens_per_frame for s in shapes) <= 100
    assert {s.tokens_per_frame for s in shapes} == {1, 4, 64}
    assert all(s.frames == 1 for s in shapes if not s.video)
    assert len({s.frames for s in shapes if s.video}) > 8
    # 400 draws with probability 0.2: standard error 0.02; four of them.
    assert abs(np.mean([s.video for s in shapes]) - settings.video_share) < 0.08
    video = next(b for b, s in enumerate(shapes) if s.video and s.frames > 1)
    size = settings.batch_size
    batch = examples.collate([examples[i] for i in range(video * size, (video + 1) * size)])
    assert batch["features"].shape == (size, shapes[video].frames, 64, 64)
    assert int((batch["input_ids"] == 2).sum()) == size * shapes[video].frames * shapes[video].tokens_per_frame
