"""Decoding, frame sampling, the cache of frames, conversations and nested subsets."""

import json
import os
import shutil

import numpy as np
import pytest

from vlmfrontier.data.conversations import Conversation, read_conversations, write_conversations
from vlmfrontier.data.frames import FrameReader
from vlmfrontier.data.problems import VideoError
from vlmfrontier.data.sampling import sample_frames
from vlmfrontier.data.video import decode_video, encode_video, read_frames
from vlmfrontier.errors import UserError
from vlmfrontier.training.examples import nested_subset, subset_hash


def test_sampled_frames_are_the_middles_of_equal_intervals():
    assert sample_frames(32, 1).tolist() == [16]
    assert sample_frames(32, 4).tolist() == [4, 12, 20, 28]
    assert sample_frames(32, 32).tolist() == list(range(32))


def test_short_videos_repeat_frames():
    assert sample_frames(3, 6).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_video_comes_back_nearly_as_it_went_in(tmp_path):
    frames = np.zeros((12, 48, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[:, 4 * t : 4 * t + 16] = 200
    encode_video(frames, tmp_path / "a.mp4", 8)
    decoded = decode_video(tmp_path / "a.mp4")
    assert decoded.shape == frames.shape
    # H.264 at crf 18 is lossy: a few levels on average, more at edges.
    assert np.abs(decoded.astype(int) - frames).mean() < 4
    assert np.array_equal(read_frames(tmp_path / "a.mp4", 4), decoded[sample_frames(12, 4)])


def test_the_cache_gives_the_frames_of_the_file(small_results, tmp_path):
    folder = small_results / "data/train"
    cached = FrameReader(folder)
    for wanted in (1, 5, 16):
        assert np.array_equal(
            cached.read("videos/000003.mp4", wanted), read_frames(folder / "videos/000003.mp4", wanted)
        )


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_an_unreadable_video_is_named(tmp_path, content):
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.mp4"):
        decode_video(path)


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "pipe.mp4"])
def test_what_only_says_where_a_video_is_is_none(small_results, tmp_path, name):
    shutil.copy(small_results / "data/train/videos/000000.mp4", tmp_path / "a.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"other files|neither a file|not a readable video"):
        read_frames(tmp_path / name, 4)


def test_a_truncated_video_is_named(small_results, tmp_path):
    whole = (small_results / "data/train/videos/000000.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.mp4"):
        decode_video(tmp_path / "half.mp4")


def test_conversations_survive_their_file(tmp_path):
    conversations = [Conversation("a", "a.mp4", (("who?", "me"), ("where?", "here")))]
    write_conversations(conversations, tmp_path / "c.json")
    assert read_conversations(tmp_path / "c.json") == conversations
    first = json.loads((tmp_path / "c.json").read_text())[0]["conversations"][0]
    assert first == {"from": "human", "value": "<image>\nwho?"}


def record(**changes) -> dict:
    turns = [{"from": "human", "value": "<video>\nq"}, {"from": "gpt", "value": "a"}]
    return {"id": "x", "video": "x.mp4", "conversations": turns, **changes}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": "x", "conversations": []}], "video"),
        ([record(conversations=[{"from": "user", "value": "q"}, {"from": "gpt", "value": "a"}])], "alternate"),
        ([record(conversations=[{"from": "human", "value": "q"}, {"from": "gpt", "value": " "}])], "empty"),
        ([record(), record()], "twice"),
    ],
)
def test_a_bad_conversation_is_refused_in_words(tmp_path, records, message):
    (tmp_path / "c.json").write_text(json.dumps(records))
    with pytest.raises(UserError, match=message):
        read_conversations(tmp_path / "c.json")


def test_subsets_are_nested_and_do_not_depend_on_the_order_of_the_file():
    ids = [f"id{i}" for i in range(50)]
    small, large = nested_subset(ids, 10, seed=1), nested_subset(ids, 30, seed=1)
    assert large[:10] == small
    assert nested_subset(ids, 10, seed=2) != small
    reversed_ids = ids[::-1]
    assert [reversed_ids[i] for i in nested_subset(reversed_ids, 10, seed=1)] == [ids[i] for i in small]
    assert subset_hash(ids) == subset_hash(reversed_ids)
    with pytest.raises(UserError, match="51 examples"):
        nested_subset(ids, 51, seed=1)
