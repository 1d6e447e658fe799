"""Frames of real files: the same by every way of reading them, in little memory, and never from somewhere else."""

import json
import os
import shutil
import signal
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.made_videos import VIDEOS, MadeVideo, draw, encode, hanging, times, write_broken, write_sources
from vlmfrontier.data.decoder import DecoderProcess, video_facts
from vlmfrontier.data.frames import FrameReader, Reading
from vlmfrontier.data.prepare import build_llava
from vlmfrontier.data.problems import Deadline, VideoError
from vlmfrontier.data.sampling import FrameRule, Timeline, frames_in_time, sample_frames
from vlmfrontier.data.timeline import read_timeline
from vlmfrontier.data.video import decode_video, open_video, read_frames, watch_frames
from vlmfrontier.study.data import LlavaConfig

COUNTS = (1, 2, 3, 8, 50)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("made")
    return folder, write_sources(folder)


@pytest.mark.parametrize("video", VIDEOS, ids=lambda video: video.name)
def test_seeking_gives_the_frames_of_decoding_everything(made, video: MadeVideo):
    path = made[0] / "videos" / video.name
    frames = decode_video(path)
    assert len(frames) == video.frames
    assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) == len(frames)  # else the test could not fail
    shown = np.array([float(t) for t in times(video, video.frames)])
    with open_video(path) as (container, stream):
        end = read_timeline(container, stream, path, lambda: None)
    for wanted in COUNTS:
        chosen = read_frames(path, wanted)
        assert np.array_equal(chosen, read_frames(path, wanted, seek=False))
        if not video.gaps:
            assert np.array_equal(chosen, frames[sample_frames(len(frames), wanted)])
        else:
            middles = (np.arange(wanted) + 0.5) * end.duration / wanted
            assert np.array_equal(chosen, frames[np.searchsorted(shown, middles + 1e-9, side="right") - 1])


def evenly(frames: int, fps: int, variable: bool = False) -> Timeline:
    steps = np.where(np.arange(frames) % 2 == 0, 1, 3) if variable else np.full(frames, 2)
    ends = np.cumsum(steps)
    return Timeline(Fraction(1, 2 * fps), ends - steps, np.arange(frames) % 10 == 0, int(ends[-1]))


@pytest.mark.parametrize("wanted", [1, 2, 7, 32, 100, 128])
@pytest.mark.parametrize("frames", [1, 5, 31, 300, 1801])
def test_in_an_even_video_time_and_number_choose_the_same(frames, wanted):
    assert frames_in_time(evenly(frames, 25), wanted).tolist() == sample_frames(frames, wanted).tolist()


def test_in_an_uneven_video_frames_shown_longer_are_taken_more_often():
    counts = np.bincount(frames_in_time(evenly(40, 25, variable=True), 80), minlength=40)
    assert counts[0::2].tolist() == [1] * 20
    assert counts[1::2].tolist() == [3] * 20


def test_a_long_video_is_seen_as_a_whole_or_from_its_start():
    hour = evenly(3600 * 2, 2)
    whole, start = frames_in_time(hour, 32), frames_in_time(hour, 32, FrameRule("start", min_fps=1.0))
    assert whole[-1] > 7000
    assert start.max() < 64
    assert np.all(np.diff(start) == 2)  # one frame a second
    assert frames_in_time(hour, 32, FrameRule("start", min_fps=0.5)).max() < 128
    short = evenly(60, 2)
    for rule in (FrameRule("start", 1.0), FrameRule("whole")):
        assert frames_in_time(short, 32, rule).tolist() == sample_frames(60, 32).tolist()


def test_no_more_frames_are_kept_than_wanted(tmp_path):
    """300 frames of 160×120 pixels are 17 MB; of these four are wanted, and a few may be on their way."""
    video = MadeVideo("long.mp4", 160, 120, 300, 10, key_every=100)
    encode(draw(video), tmp_path / "long.mp4", video)
    for seek in (True, False):
        tracemalloc.start()
        frames = read_frames(tmp_path / "long.mp4", 4, seek=seek)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert frames.nbytes < peak < 4 * frames.nbytes


def test_images_are_videos_of_one_frame(tmp_path):
    pixels = draw(MadeVideo("x", 40, 30, frames=1))[0]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert np.array_equal(read_frames(tmp_path / "x.png", 3), np.stack([pixels] * 3))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    with pytest.raises(VideoError, match="not a readable image"):
        read_frames(tmp_path / "broken.jpg", 1)
    with pytest.raises(VideoError, match="no such file"):
        read_frames(tmp_path / "missing.jpg", 1)


def test_a_folder_of_images_is_a_video(tmp_path):
    """LLaVA-Hound ships its videos so."""
    frames = draw(MadeVideo("x", 40, 30, frames=10))
    (tmp_path / "v_1").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "v_1" / f"c01_{number:04d}.png")
    (tmp_path / "v_1" / "notes.txt").write_text("no image")
    for wanted in (1, 4, 25):
        assert np.array_equal(read_frames(tmp_path / "v_1", wanted), frames[sample_frames(10, wanted)])
    facts = video_facts(tmp_path / "v_1", 3)
    assert (facts.frames, facts.width, facts.height, facts.seconds) == (10, 40, 30, 0.0)
    Image.fromarray(frames[0]).save(tmp_path / "v_1" / "c01_0010.png")
    assert video_facts(tmp_path / "v_1", 0).fingerprint != facts.fingerprint
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="no image"):
        read_frames(tmp_path / "empty", 1)


def test_a_video_that_lies_is_stood_up(tmp_path):
    video = MadeVideo("phone.mp4", 64, 48, 6, 6)
    encode(draw(video), tmp_path / "phone.mp4", video)
    with av.open(str(tmp_path / "phone.mp4")) as source, av.open(str(tmp_path / "turned.mp4"), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        copy.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    lying, upright = read_frames(tmp_path / "phone.mp4", 2), read_frames(tmp_path / "turned.mp4", 2)
    assert upright.shape == (2, 64, 48, 3)
    assert any(np.array_equal(upright, np.rot90(lying, turns, axes=(1, 2))) for turns in (1, 3))


def test_a_damaged_frame_is_found_when_all_are_watched(tmp_path):
    video = MadeVideo("whole.mp4", 64, 64, 100, 25, key_every=100)
    encode(draw(video), tmp_path / "whole.mp4", video)
    content = bytearray((tmp_path / "whole.mp4").read_bytes())
    content[2000:2400] = bytes(400)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(VideoError):
        watch_frames(tmp_path / "damaged.mp4", Deadline(tmp_path, None), lambda frame: None)


def test_another_process_gives_the_same_frames_and_the_same_complaints(made, tmp_path):
    decoder = DecoderProcess()
    try:
        for video in VIDEOS:
            path = made[0] / "videos" / video.name
            assert np.array_equal(decoder.read(path, 5), read_frames(path, 5))
        half = decoder.read(path, 5, resize=lambda frame: frame[::2, ::2])
        assert np.array_equal(half, read_frames(path, 5)[:, ::2, ::2])
        for path in write_broken(tmp_path).values():
            with pytest.raises(VideoError) as here:
                read_frames(path, 3)
            with pytest.raises(VideoError) as there:
                decoder.read(path, 3)
            assert (there.value.kind, str(there.value)) == (here.value.kind, str(here.value))
    finally:
        decoder.close()


def test_a_crash_costs_one_video(made, tmp_path):
    """Killed from outside while it hangs, as FFmpeg crashes on some files."""
    decoder = DecoderProcess()
    path = made[0] / "videos" / VIDEOS[0].name
    shutil.copy(path, tmp_path / "hangs.mp4")
    try:
        decoder.read(path, 1)
        number = decoder._process.pid
        killer = threading.Timer(0.2, os.kill, (number, signal.SIGSEGV))
        killer.start()
        with hanging(tmp_path / "hangs.mp4"), pytest.raises(VideoError, match="died") as crash:
            decoder.read(tmp_path / "hangs.mp4", 1)
        assert crash.value.kind == "decoder crashed"
        assert decoder.read(path, 1).shape == (1, 48, 64, 3)
    finally:
        decoder.close()


def test_no_decoder_outlives_the_job(made):
    """Also one that hangs, when the job is killed and cannot clean up."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        decoder = DecoderProcess()
        decoder.read(made[0] / "videos" / VIDEOS[0].name, 1)
        os.write(writes, str(decoder._process.pid).encode())
        time.sleep(60)
        os._exit(0)
    number = int(os.read(reads, 20))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(200):
        if not Path(f"/proc/{number}/cmdline").exists() or not Path(f"/proc/{number}/cmdline").read_bytes():
            return
        time.sleep(0.05)
    pytest.fail(f"decoder {number} still runs")


@pytest.fixture(scope="module")
def split(made, tmp_path_factory) -> Path:
    settings = LlavaConfig(**made[1])
    folder = tmp_path_factory.mktemp("split")
    build_llava(folder, "train", settings.sources, settings, say=lambda line: None)
    return folder


def squeeze(frames: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(frame).resize((32, 32))) for frame in frames])


def test_frames_kept_on_disk_are_the_frames_decoded(split, tmp_path):
    plain = FrameReader(split, resize=squeeze)
    kept = FrameReader(split, Reading(cache=tmp_path), squeeze)
    video = f"beta/{VIDEOS[9].name}"
    frames = plain.read(video, 6)
    assert np.array_equal(kept.read(video, 6), frames)
    files = list(tmp_path.rglob("*.npy"))
    assert len(files) == 1
    # What is kept is what is read: another array in its place shows that nothing was decoded.
    np.save(files[0], np.zeros_like(frames))
    assert not kept.read(video, 6).any()
    # Another number, rule or size is another file; half a file is none.
    assert np.array_equal(kept.read(video, 7), plain.read(video, 7))
    other = FrameReader(split, Reading(FrameRule("start", 1.0), cache=tmp_path), squeeze)
    assert not np.array_equal(other.read(video, 6), frames)
    smaller = FrameReader(split, Reading(cache=tmp_path), lambda frames: frames[:, :8, :8])
    assert smaller.read(video, 6).shape == (6, 8, 8, 3)
    files[0].write_bytes(files[0].read_bytes()[:100])
    assert np.array_equal(kept.read(video, 6), frames)
    assert np.array_equal(np.load(files[0]), frames)


def test_readers_side_by_side_keep_the_same_frames_once(split, tmp_path):
    video = f"beta/{VIDEOS[9].name}"
    expected = FrameReader(split, resize=squeeze).read(video, 6)

    def read(_: int) -> np.ndarray:
        return FrameReader(split, Reading(cache=tmp_path), squeeze).read(video, 6)

    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(frames, expected) for frames in pool.map(read, range(8)))
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".npy"]


def test_frames_that_cannot_be_kept_are_decoded(split, tmp_path):
    (tmp_path / "full").write_text("a file where a folder should be: nothing can be written there")
    reader = FrameReader(split, Reading(cache=tmp_path / "full"), squeeze)
    video = f"alpha/{VIDEOS[0].name}"
    assert np.array_equal(reader.read(video, 3), FrameReader(split, resize=squeeze).read(video, 3))


def test_a_video_that_is_gone_or_moved_outside_is_an_error_and_no_other_video(made, split, tmp_path):
    manifest = json.loads((split / "manifest.json").read_text())
    there = tmp_path / "videos"
    there.mkdir()
    manifest["folders"]["alpha"] = str(there)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    reader = FrameReader(tmp_path)
    with pytest.raises(VideoError, match="no such file"):
        reader.read("alpha/alpha/plain.mp4", 2)
    (there / "alpha").symlink_to(made[0] / "videos" / "alpha")
    with pytest.raises(VideoError, match="not inside"):
        reader.read("alpha/alpha/plain.mp4", 2)
