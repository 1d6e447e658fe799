"""What a core decodes, and how many cores keep a GPU busy.

    python benchmarks/input.py [--seconds 30] [--frames 32] [--tokens 196] [--heights 360 720 1080]
                               [--codecs libx264 mpeg4 libvpx-vp9] [--study workflow/studies/paper.yaml] [--keep FOLDER]

Makes videos of moving textures at 30 frames a second with a key frame every 250 frames, as encoders make them by
default, and reads T frames of each at the tower's size the way a training does: from the key frames before wanted
frames, in another process. Against it, plain full decoding in the same process. Times are of one core (user and system
time, of all processes), so that other work on the machine does not count. Then, for the study's runs of T frames with V
tokens, what rate of examples a GPU takes by the plan's FLOPs, and the cores per GPU that feed it.
"""

import argparse
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tabulate import tabulate

from vlmfrontier.cluster.site import Site
from vlmfrontier.data.decoder import DecoderProcess
from vlmfrontier.data.sampling import sample_frames
from vlmfrontier.data.video import open_video, to_array
from vlmfrontier.models.vision import resize
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import finetuning

FPS, KEY_EVERY, SHAPE = 30, 250, 16 / 9
OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "mpeg4": {"qscale": "5"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"},
}


def main() -> None:
    """Print the tables."""
    options = arguments()
    study = load_study([options.study])
    side = study.models.vision.image_size
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            measure(video(folder, codec, height, options.seconds), codec, height, options, side)
            for codec in options.codecs
            for height in options.heights
        ]
    print(f"{options.seconds} s of video at {FPS} fps, {options.frames} frames of it at {side}×{side}, per core:\n")
    headers = ["codec", "height", "MB", "ms", "frames/s", "examples/s", "plain: ms", "times faster"]
    print(tabulate(rows, headers=headers, floatfmt=("", "", ".1f", ".0f", ".0f", ".2f", ".0f", ".1f")))
    print(f"\nGPU: {Site().gpu[0].model or 'GPU'} at {Site().gpu[0].mfu:.0%} of its peak, as the plan assumes\n")
    rates = {f"{codec} {height}": row[5] for row in rows for codec, height in [row[:2]]}
    print(tabulate(gpu_rows(study, options.frames, options.tokens, rates), headers="keys", floatfmt=".2f"))


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=196, help="V of the runs whose rate is told")
    parser.add_argument("--heights", type=int, nargs="+", default=[360, 720, 1080])
    parser.add_argument("--codecs", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--study", type=Path, default=Path("workflow/studies/paper.yaml"))
    parser.add_argument("--keep", help="folder in which the videos are kept for the next time")
    return parser.parse_args()


def pictures(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Yield frames of a texture that moves, with a block that moves otherwise and a cut every four seconds."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, 2 * width // 8, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((2 * width, height), Image.Resampling.BICUBIC))
    for t in range(count):
        frame = texture[:, 3 * t % width :][:, :width]
        frame = (frame[:, ::-1] if t // (4 * FPS) % 2 else frame).copy()
        top, left = int(height * (0.45 + 0.3 * np.sin(t / 20))), int(width * (0.45 + 0.3 * np.cos(t / 17)))
        frame[top : top + height // 8, left : left + height // 8] = 5 * t % 255
        yield frame


def video(folder: Path, codec: str, height: int, seconds: int) -> Path:
    """Return a video of `seconds`, made if it is not in `folder`."""
    path = folder / f"{codec}-{height}-{seconds}.mp4"
    if path.exists():
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = round(height * SHAPE / 2) * 2, height, "yuv420p"
        stream.codec_context.gop_size = KEY_EVERY
        stream.options = OPTIONS[codec]
        for frame in pictures(seconds * FPS, stream.height, stream.width):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def core_seconds(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return what `call` returns and the time of one core that it takes in this process and its ended children."""
    before = used()
    result = call()
    return result, used() - before


def used() -> float:
    """Return the seconds of processor time of this process and those of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(path: Path, codec: str, height: int, options: argparse.Namespace, side: int) -> list:
    """Return one row: what reading T frames takes in a training and by plain full decoding."""

    def started(read: bool) -> np.ndarray | None:
        decoder = DecoderProcess()
        try:
            decoder.facts(path, 1, timeout=600)  # imports, and the file in memory, for both alike
            if not read:
                return None
            return decoder.read(path, options.frames, timeout=600, resize=lambda frame: resize(frame[None], side)[0])
        finally:
            decoder.close()

    started(read=True)
    _, start_up = core_seconds(lambda: started(read=False))
    frames, with_start_up = core_seconds(lambda: started(read=True))
    ours = with_start_up - start_up

    def plain() -> np.ndarray:
        wanted = sample_frames(options.seconds * FPS, options.frames).tolist()
        with open_video(path) as (container, stream):
            arrays = (to_array(frame) for frame in container.decode(stream))
            return resize(np.stack([array for i, array in enumerate(arrays) if i in wanted]), side)

    same, theirs = core_seconds(plain)
    assert np.array_equal(frames, same)
    size = path.stat().st_size / 1e6
    return [codec, height, size, 1e3 * ours, options.frames / ours, 1 / ours, 1e3 * theirs, theirs / ours]


def gpu_rows(study: Study, T: int, tokens: int, rates: dict[str, float]) -> list[dict]:
    """Return a row for each language model: examples a GPU takes per second, and the cores that decode them."""
    runs = {}
    for run in plan_runs(study):
        if run.T == T:
            runs.setdefault((run.language, run.V), run)
    rows = []
    for (language, V), run in runs.items():
        if tokens != V:
            continue
        placed = plan_training(finetuning(study, run), Site())
        rate = run.n * study.finetune.epochs / (placed.gpu_hours * 3600)
        cores = {f"cores: {name}": rate / per_core for name, per_core in rates.items()}
        rows.append({"N": language, "T": T, "V": V, "examples/s": rate, "frames/s": rate * T, **cores})
    return rows


if __name__ == "__main__":
    main()
