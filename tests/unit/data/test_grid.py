"""The same frames by seeking, by decoding everything and by ffmpeg, in any container, codec, order and rotation."""

from pathlib import Path

import numpy as np
import pytest

from tests.made_grid import CODECS, FRAMES, GRID, X264, by_ffmpeg, ffmpeg, make, needs_ffmpeg, numbers, pictures
from vlmfrontier.data.decoder import video_facts
from vlmfrontier.data.problems import VideoError
from vlmfrontier.data.sampling import WHOLE, FrameRule, sample_frames
from vlmfrontier.data.video import read_frames

pytestmark = needs_ffmpeg
EIGHT = [3, 11, 18, 26, 33, 41, 48, 56]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("grid")


def read(path: Path, wanted: int, rule: FrameRule = WHOLE) -> list[int]:
    """Return the numbers of the frames read, by seeking and by decoding everything alike."""
    sought, decoded = (read_frames(path, wanted, rule, seek=seek) for seek in (True, False))
    assert np.array_equal(sought, decoded)
    return numbers(sought)


@pytest.mark.parametrize(("codec", "end"), GRID, ids="-".join)
def test_every_way_of_reading_gives_the_same_frames(folder, codec, end):
    path = make(folder / f"{codec}.{end}", CODECS[codec])
    shown = numbers(by_ffmpeg(path))
    assert shown == list(range(FRAMES))
    for wanted in (1, 4, 8, FRAMES, 100):
        assert read(path, wanted) == [shown[index] for index in sample_frames(len(shown), wanted)]
    assert video_facts(path, 1).frames == FRAMES


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30", "30000/1001", "59.94", "1", "7"])
@pytest.mark.parametrize("end", ["mkv", "mp4", "flv", "ts"])
def test_rounded_times_take_the_same_frames_as_exact_ones(folder, end, rate):
    """Matroska and FLV tell milliseconds: a middle on the border of two frames must not fall to the one before."""
    path = make(folder / f"rate {rate.replace('/', ' ')}.{end}", CODECS["h264"], rate=rate)
    for wanted in (2, 4, 6, 10, 12, 20, 30, FRAMES):
        assert numbers(read_frames(path, wanted)) == sample_frames(FRAMES, wanted).tolist()


DROPPED = "-vf select='not(between(n,10,40))' -fps_mode passthrough"
MIDDLE = [3, 9, 9, 9, 9, 41, 48, 56]


@pytest.mark.parametrize("b_frames", [0, 2, 3])
@pytest.mark.parametrize("end", ["mp4", "mkv", "mov", "ts", "flv"])
def test_time_counts_where_frames_are_missing(folder, end, b_frames):
    path = make(folder / f"dropped{b_frames}.{end}", f"{DROPPED} {X264} -bf {b_frames}")
    assert read(path, 8) == MIDDLE
    facts = video_facts(path, 1)
    assert (facts.frames, round(facts.seconds, 2), facts.constant) == (29, 3.0, False)


def test_packets_without_times_of_their_own_are_counted(folder):
    """An AVI says where a packet stands, a file copied from it the same; a raw stream says nothing."""
    avi = make(folder / "order.avi", f"{X264} -bf 3")
    for end in ("mp4", "mov", "mkv", "flv"):
        ffmpeg("-fflags +genpts -i", avi, "-c copy", folder / f"copied.{end}")
        assert read(folder / f"copied.{end}", FRAMES) == list(range(FRAMES))
        assert read(folder / f"copied.{end}", 8) == EIGHT
    raw = make(folder / "raw.h264", X264)
    start = FrameRule("start", 1.0)
    assert read(raw, 1, start) == [12]  # of 25 frames a second, as FFmpeg takes a stream that says none
    assert read(raw, 2, start) == [12, 37]
    assert read(make(folder / "start.mp4", X264), 2, start) == [10, 30]


@pytest.mark.parametrize(
    ("codec", "end", "times"),
    [
        ("h264-b", "mp4", "pts='PTS+if(eq(mod(N,7),3),1024,0)'"),
        ("h264-b", "mkv", "pts='if(gt(N,30),PTS-20000,PTS)'"),
        ("h264-b", "mkv", "pts='DTS+1024*mod(N*7,5)'"),
        ("h264", "mp4", "pts='DTS+600*mod(N*7,5)'"),
        ("h264", "mkv", "ts=floor(N/2)*1024"),
        ("mpeg4-b", "mkv", "pts=DTS"),
        ("vp9", "webm", "pts='PTS+70*mod(N*7,5)'"),
    ],
)
def test_times_that_fall_or_repeat_are_not_believed(folder, codec, end, times):
    path = make(folder / f"times.{end}", f"{CODECS[codec]} -bsf:v setts={times}")
    assert read(path, 8) == EIGHT
    assert read(path, FRAMES) == list(range(FRAMES))


def test_the_last_frame_is_as_long_as_those_before_it(folder):
    """Frames of 50 ms, then of 100 ms: 4.5 s, also where B-frames hide how long the last one is."""
    slower = "-vf settb=1/90000,setpts='if(lt(N,30),N*4500,135000+(N-30)*9000)' -fps_mode passthrough"
    for end in ("mp4", "mkv", "mov"):
        path = make(folder / f"slower.{end}", f"{slower} {X264} -bf 3")
        assert video_facts(path, 1).seconds == pytest.approx(4.5, abs=0.002)
        assert read(path, 9) == [5, 15, 25, 32, 37, 42, 47, 52, 57]


def test_xvid_is_read_as_it_is_decoded_from_the_start(folder):
    """Two frames share a packet, and some packets are empty."""
    path = make(folder / "packed.avi", "-c:v libxvid -bf 2")
    shown = numbers(by_ffmpeg(path))
    for wanted in (8, 60):
        assert read(path, wanted) == [shown[index] for index in sample_frames(len(shown), wanted)]


def cut(path: Path, part: float = 2 / 3) -> Path:
    target = path.with_name(f"cut {part:.2f} {path.name}")
    target.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return target


@pytest.mark.parametrize("part", [0.4, 2 / 3, 0.9])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("front.mp4", f"{X264} -bf 2 -movflags +faststart"),
        ("fragments.mp4", f"{X264} -g 20 -movflags +frag_keyframe+empty_moov"),
        ("h264.mkv", f"{X264} -bf 2"),
        ("vp9.webm", CODECS["vp9"]),
        ("b.avi", f"{X264} -bf 2"),
        ("mjpeg.avi", CODECS["mjpeg"]),
        ("h264.flv", X264),
    ],
)
def test_a_file_that_is_cut_off_is_reported(folder, name, options, part):
    path = cut(make(folder / name, options), part)
    for seek in (True, False):
        with pytest.raises(VideoError) as problem:
            read_frames(path, 8, seek=seek)
        assert problem.value.kind in {"truncated", "unreadable"}
    with pytest.raises(VideoError):
        video_facts(path, 1)


@pytest.mark.parametrize(("codec", "end"), [("h264", "ts"), ("mpeg2", "mpg"), ("h264", "h264")])
def test_a_stream_that_says_no_length_ends_where_it_ends(folder, codec, end):
    path = cut(make(folder / f"stream-{codec}.{end}", CODECS[codec]))
    shown = numbers(by_ffmpeg(path))
    assert read(path, 8) == [shown[index] for index in sample_frames(len(shown), 8)]


def test_sound_that_is_longer_than_the_pictures_is_no_cut(folder):
    silent = make(folder / "silent.mp4", X264)
    for end in ("mkv", "mp4", "flv", "avi"):
        path = folder / f"sound.{end}"
        ffmpeg("-i", silent, "-f lavfi -i sine=d=6:r=22050 -c:v copy -c:a mp3 -map 0:v -map 1:a", path)
        assert read(path, 8) == EIGHT
    whole = folder / "sound.mkv"
    for part in (0.5, 0.9):
        with pytest.raises(VideoError, match="of the 6"):
            read_frames(cut(whole, part), 8)


def test_the_video_is_the_stream_that_moves(folder):
    whole, still = make(folder / "stream.mp4", f"{X264} -bf 2"), "-f lavfi -i color=red:s=128x96:r=1:d=1"
    for end in ("mp4", "mkv", "mov"):
        for codec in ("mjpeg -pix_fmt:v:0 yuvj420p", "png"):
            path = folder / f"still first.{end}"
            ffmpeg(still, "-i", whole, f"-map 0:v -map 1:v -c:v:0 {codec} -c:v:1 copy", path)
            assert read(path, 8) == EIGHT
        covered = folder / f"covered.{end}"
        ffmpeg("-i", whole, still, "-map 1:v -map 0:v -c:v:0 mjpeg -c:v:1 copy -disposition:v:0 attached_pic", covered)
        assert read(covered, 8) == EIGHT
    other = make(folder / "other.mp4", X264, frames=pictures()[::-1])
    ffmpeg(
        "-i", other, "-i", whole, "-map 0 -map 1 -c copy -disposition:v:0 0 -disposition:v:1 default", folder / "2.mkv"
    )
    assert read(folder / "2.mkv", 8) == EIGHT
    ffmpeg("-i", other, "-i", whole, "-map 0 -map 1 -c copy", folder / "first.mkv")
    assert read(folder / "first.mkv", 8) == [59 - number for number in EIGHT][:8]


def test_edit_lists_and_other_beginnings_count_from_the_first_frame_shown(folder):
    whole = make(folder / "begins.mp4", f"{X264} -bf 2 -g 20")
    for name, options in {
        "cut.mp4": "-ss 1.25 -c copy",
        "cut.mkv": "-ss 1.25 -c copy",
        "later.mp4": "-c copy -output_ts_offset 5",
        "later.mkv": "-c copy -output_ts_offset 5",
        "before.mkv": "-c copy -output_ts_offset -0.5 -avoid_negative_ts disabled",
        "before.mp4": "-c copy -output_ts_offset -0.5 -avoid_negative_ts disabled",
    }.items():
        before, after = (options, "-c copy") if "-ss" in options else ("", options)
        ffmpeg(before.replace("-c copy", ""), "-i", whole, after, folder / name)
        shown = numbers(by_ffmpeg(folder / name))
        assert read(folder / name, len(shown)) == shown
        assert read(folder / name, 4) == [shown[index] for index in sample_frames(len(shown), 4)]


def test_one_frame_and_odd_sizes(folder):
    for end, codec in (("mp4", "h264-b"), ("webm", "vp9"), ("avi", "mjpeg"), ("ts", "h264"), ("mkv", "ffv1")):
        one = make(folder / f"one.{end}", CODECS[codec], frames=pictures()[37:38])
        assert read(one, 3) == [37, 37, 37]
        assert video_facts(one, 0).frames == 1
    odd = np.pad(pictures(), ((0, 0), (0, 3), (0, 3), (0, 0)))
    for end, codec in (("mp4", "-c:v libx264 -pix_fmt yuv444p"), ("webm", CODECS["vp9"]), ("mkv", CODECS["ffv1"])):
        path = make(folder / f"odd.{end}", codec, frames=odd)
        assert read_frames(path, 1).shape == (1, 51, 67, 3)
        assert read(path, 8) == EIGHT


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_images_stand_as_ffmpeg_stands_them(folder, turns, mirrored):
    """All quarters of a turn, with and without a mirror."""
    matrix = np.array([[1, 0], [0, 1]])
    for _ in range(turns):
        matrix = np.array([[0, 1], [-1, 0]]) @ matrix
    if mirrored:
        matrix = np.diag([-1, 1]) @ matrix
    path = folder / f"turned {turns} {mirrored}.mp4"
    plain = make(folder / "plain.mp4", CODECS["h264"])
    content = bytearray(plain.read_bytes())
    track = content.index(b"tkhd")
    at = track + 4 + 40  # after version, times, number, length, layer and volume
    numbers_of = [matrix[0, 0], matrix[0, 1], 0, matrix[1, 0], matrix[1, 1], 0, 0, 0]
    for place, value in enumerate(numbers_of):
        content[at + 4 * place : at + 4 * place + 4] = int(value << 16).to_bytes(4, signed=True)
    path.write_bytes(content)
    width, height = (48, 64) if turns % 2 else (64, 48)
    expected = by_ffmpeg(path, width, height)
    for seek in (True, False):
        frames = read_frames(path, FRAMES, seek=seek)
        assert frames.shape == expected.shape
        assert np.abs(frames.astype(int) - expected).mean() < 4


def test_transport_streams_are_joined_and_begun_anywhere(folder):
    whole = make(folder / "whole.ts", f"{X264} -bf 3 -g 20")
    joined = folder / "joined.ts"
    joined.write_bytes(whole.read_bytes() + make(folder / "other.ts", X264).read_bytes())
    assert read(joined, 120) == [*range(FRAMES), *range(FRAMES)]
    assert read(joined, 8) == [7, 22, 37, 52, 7, 22, 37, 52]
    content = whole.read_bytes()
    for part in (0.2, 0.4, 0.5, 0.7):
        middle = folder / f"middle {part}.ts"
        middle.write_bytes(content[int(len(content) * part) // 188 * 188 :])
        shown = numbers(by_ffmpeg(middle))
        assert 0 < len(shown) < FRAMES
        assert read(middle, 8) == [shown[index] for index in sample_frames(len(shown), 8)]
        assert video_facts(middle, 1).frames == len(shown)
        ffmpeg("-i", middle, "-c copy", middle.with_suffix(".mp4"))
        shown = numbers(by_ffmpeg(middle.with_suffix(".mp4")))
        assert read(middle.with_suffix(".mp4"), len(shown)) == shown
