"""Pictures as frames: upright, in 8 bits, in natural order, and animated ones as the videos they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.made_videos import MadeVideo, draw
from vlmfrontier.data.decoder import video_facts
from vlmfrontier.data.images import images_of
from vlmfrontier.data.prepare import build_llava
from vlmfrontier.data.problems import VideoError
from vlmfrontier.data.sampling import FrameRule
from vlmfrontier.data.video import read_frames
from vlmfrontier.study.data import LlavaConfig

FRAMES = draw(MadeVideo("x", 40, 30, frames=6))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("end", ["jpg", "png", "webp"])
def test_the_orientation_that_a_camera_notes_is_followed(tmp_path, orientation, end):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{end}"
    Image.fromarray(FRAMES[0]).save(path, exif=exif, **({"lossless": True} if end == "webp" else {}))
    shown = read_frames(path, 1)[0]
    steps = {2: [4], 3: [1], 4: [1, 4], 5: [4, 2], 6: [0], 7: [4, 0], 8: [2]}.get(orientation, [])
    # 0, 1, 2: a quarter, a half and three quarters of a turn clockwise; 4: mirrored left to right.
    expected = read_frames(_plain(path), 1)[0]
    for step in steps:
        expected = expected[:, ::-1] if step == 4 else np.rot90(expected, -1 - step)
    assert np.array_equal(shown, expected)
    facts = video_facts(path, 0)
    assert (facts.width, facts.height) == (shown.shape[1], shown.shape[0])


def _plain(path: Path) -> Path:
    """Return a copy that notes no orientation, the same pixels."""
    with Image.open(path) as image:
        image.load()
        Image.fromarray(np.asarray(image.convert("RGB"))).save(path.with_name("plain.png"))
    return path.with_name("plain.png")


def test_grey_of_16_bits_is_scaled_and_not_cut_off(tmp_path):
    ramp = np.linspace(0, 65535, 1200).astype(np.uint16).reshape(30, 40)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    shown = read_frames(tmp_path / "x.png", 1)[0]
    assert np.abs(shown.astype(int) - ramp[..., None] / 257).max() <= 1
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_frames(tmp_path / "turned.png", 1)[0], np.rot90(shown, -1))


@pytest.mark.parametrize(
    ("mode", "end"),
    [
        *((mode, "png") for mode in ("1", "L", "LA", "P", "RGBA", "I;16")),
        *(("RGBA", "webp"), ("CMYK", "jpg"), ("L", "jpg"), ("L", "bmp"), ("P", "bmp")),
    ],
)
def test_every_kind_of_pixel_gives_colours(tmp_path, mode, end):
    picture = Image.fromarray(FRAMES[0])
    grey = mode in {"1", "L", "LA", "I;16"}
    pixels = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else None
    (pixels or picture.convert(mode)).save(tmp_path / f"x.{end}")
    shown = read_frames(tmp_path / f"x.{end}", 1)[0].astype(int)
    expected = np.asarray(picture.convert("1" if mode == "1" else "L" if grey else "RGB").convert("RGB")).astype(int)
    assert np.abs(shown - expected).mean() < 12  # 216 colours of a palette


def animate(path: Path, lengths: list[int]) -> Path:
    first, *others = [Image.fromarray(frame) for frame in FRAMES[: len(lengths)]]
    first.save(path, save_all=True, append_images=others, duration=lengths, lossless=True, loop=0)
    return path


@pytest.mark.parametrize("name", ["x.webp", "x.png", "x.apng", "x.gif"])
def test_an_animated_picture_is_a_video(tmp_path, name):
    path = animate(tmp_path / name, [100] * 6)

    def near(frames: np.ndarray, numbers: list[int]) -> bool:
        return np.abs(frames.astype(int) - FRAMES[numbers]).mean() < 8  # a GIF has 256 colours

    assert near(read_frames(path, 3), [1, 3, 5])
    assert near(read_frames(path, 6), [0, 1, 2, 3, 4, 5])
    assert near(read_frames(path, 1, FrameRule("start", 5.0)), [1])
    facts = video_facts(path, 0)
    assert (facts.frames, facts.seconds, facts.fps) == (6, 0.6, 10.0)
    uneven = animate(tmp_path / f"uneven{path.suffix}", [100, 500, 100, 100])
    assert near(read_frames(uneven, 4), [1, 1, 1, 3])


def test_an_animated_picture_where_one_stands_still_is_named(tmp_path):
    """Of a set of images it is a counted problem; among the frames of a folder it makes the folder one."""
    animate(tmp_path / "moves.webp", [100] * 3)
    animate(tmp_path / "moves.gif", [100] * 3)
    Image.fromarray(FRAMES[0]).save(tmp_path / "still.png")
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    records = [{"id": f.name, "image": f.name, "conversations": turns} for f in sorted(tmp_path.iterdir())]
    (tmp_path / "set.json").write_text(json.dumps(records))
    source = {"name": "set", "annotations": str(tmp_path / "set.json"), "videos": str(tmp_path), "kind": "image"}
    settings = LlavaConfig(sources=[source], failures=1.0)
    for _ in range(2):  # the second time it is known
        manifest = build_llava(tmp_path / "out", "align", settings.sources, settings, say=lambda line: None)
        assert manifest["problems"] == {"animated picture": 2}
    as_video = LlavaConfig(sources=[{**source, "kind": "video"}], failures=1.0)
    records = [{**record, "video": record["image"]} for record in records]
    (tmp_path / "set.json").write_text(json.dumps(records))
    manifest = build_llava(tmp_path / "out", "train", as_video.sources, as_video, say=lambda line: None)
    assert manifest["problems"] == {}
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(FRAMES[0]).save(folder / "1.png")
    animate(folder / "2.webp", [100] * 3)
    with pytest.raises(VideoError, match=r"2\.webp: has 3 frames"):
        read_frames(folder, 2)


@pytest.mark.parametrize(
    "names",
    [
        [f"{number}.jpg" for number in range(1, 21)],
        [f"frame{number}.png" for number in (1, 2, 9, 10, 11, 100)],
        ["a 08.jpg", "a 9.jpg", "a 010.jpg", "b 1.jpg"],
        ["c01_0001.jpeg", "c01_0002.jpeg", "c02_0001.jpeg"],
        ["1-2.png", "1-10.png", "2-1.png"],
        ["IMG_1.JPG", "img_2.jpg", "IMG_10.jpg"],
        ["1.jpg", "1.png", "2.jpg"],
        ["٣.png", "12.png"],
    ],
)
def test_frames_come_in_the_natural_order_of_their_names(tmp_path, names):
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(tmp_path / name)
    hidden = ("._1.jpg", ".DS_Store", "Thumbs.db", ".hidden.png", "desktop.ini", "notes.txt", "._001.jpg")
    for name in hidden:
        (tmp_path / name).write_bytes(b"\0\5\x16\7 no picture")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in images_of(tmp_path)] == names
    shown = read_frames(tmp_path, len(names))[:, 0, 0, 0]
    assert np.abs(shown.astype(int) - 10 * np.arange(len(names))).max() <= 2
    assert video_facts(tmp_path, 0).frames == len(names)


def test_frames_of_several_sizes_take_the_first_one_s(tmp_path):
    for number, size in enumerate([(40, 30), (20, 60), (40, 30)]):
        Image.new("RGB", size, (50 * number + 50, 0, 0)).save(tmp_path / f"{number}.png")
    frames = read_frames(tmp_path, 3)
    assert frames.shape == (3, 30, 40, 3)
    assert frames[:, 5, 5, 0].tolist() == [50, 100, 150]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "hidden only", "none"])
def test_a_damaged_folder_is_named_with_the_picture(tmp_path, damage):
    folder = tmp_path / "frames"
    folder.mkdir()
    if damage == "hidden only":
        (folder / "._1.jpg").write_bytes(b"x")
    elif damage != "none":
        for number in range(3):
            Image.fromarray(FRAMES[number]).save(folder / f"{number}.jpg")
        whole = (folder / "1.jpg").read_bytes()
        (folder / "1.jpg").write_bytes({"empty": b"", "text": b"text", "cut": whole[: len(whole) // 2]}[damage])
    match = r"1\.jpg: not a readable image" if damage in {"empty", "text", "cut"} else "no image"
    with pytest.raises(VideoError, match=match):
        read_frames(folder, 3)
    with pytest.raises(VideoError, match=match):
        video_facts(folder, 0)


def test_the_second_picture_of_a_camera_s_jpeg_is_no_frame(tmp_path):
    first, second = (Image.fromarray(frame) for frame in FRAMES[:2])
    first.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[second])
    assert video_facts(tmp_path / "x.jpg", 0).frames == 1
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "x.jpg")).convert("RGB"))
    assert np.array_equal(read_frames(tmp_path / "x.jpg", 2), np.stack([expected] * 2))
