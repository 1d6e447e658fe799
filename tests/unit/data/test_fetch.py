"""Fetching training sets from a server that speaks as the hub does, and from one that does not: real archives of real
videos, unpacked and prepared."""

import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_hub import COMMIT, Hub, environment, serving, write_tar
from tests.made_videos import VIDEOS, draw, encode, records
from vlmfrontier.data.archives import is_archive
from vlmfrontier.data.prepare import prepare_split
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import load_study, read_study, validate, write_study
from vlmfrontier.study.root import Study

pytestmark = pytest.mark.slow  # twenty processes that fetch, two seconds each

ROOT = Path(__file__).parents[3]
NAMES = ("alpha/plain.mp4", "alpha/portrait.mp4", "alpha/two_frames.mp4", "beta/one_frame.mp4")
MADE = [video for video in VIDEOS if video.name in NAMES]
HUB = {"dataset": "open/set", "annotations": ["*_qa*.json*"], "videos": ["*/videos_*.tar.gz", "beta/*.mp4"]}
ZIP = {"dataset": "open/set", "videos": ["two/*.zip"], "into": "alpha"}
"""The published set, but for a zip whose videos have no folder, as their records say."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Four real videos."""
    folder = tmp_path_factory.mktemp("videos")
    for video in MADE:
        encode(draw(video), folder / video.name, video)
    return folder


@pytest.fixture
def hub(videos, tmp_path) -> Iterator[Hub]:
    """A hub with the data set open/set: two files of records, a tar and a zip with two videos and a loose one."""
    root = tmp_path / "hub"
    published = root / "datasets/open/set"
    for folder in ("one", "two", "beta"):
        (published / folder).mkdir(parents=True)
    said = [record for video in MADE for record in records(video)]
    (published / "one/first_qa.json").write_text(json.dumps(said[:5]))
    (published / "two/second_qa.jsonl").write_text("".join(json.dumps(record) + "\n" for record in said[5:]))
    write_tar(published / "one/videos_1.tar.gz", {name: (videos / name).read_bytes() for name in NAMES[:2]})
    with zipfile.ZipFile(published / "two/videos_2.zip", "w") as archive:
        archive.write(videos / NAMES[2], Path(NAMES[2]).name)
    shutil.copy(videos / NAMES[3], published / "beta")
    with serving(root) as hub:
        yield hub


def study_of(folder: Path, *parts: dict, **source) -> Study:
    """Return a study of one fetched set, whose paths are in `folder`."""
    made = {"name": "made", "annotations": str(folder / "sets/made.json"), "videos": str(folder / "sets/made")}
    made |= {"count": 8, "fetch": list(parts), **source}
    rows = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 8}]}
    return load_study(
        [ROOT / "config.yaml"],
        {
            "study": "fetched",
            "data": {"source": "llava", "llava": {"sources": [made]}},
            "evaluate": {"harness": "lmms-eval"},
            "sweep": {"designs": {"star": None, "isoflop": None, "repeats": None, "few": rows}},
            "space": {"N": ["xs"], "T": [2], "V": [4]},
            "laws": {"split": None},
            "frontier": {"budgets": ["50M"], "examples": [8]},
        },
    )


def command(folder: Path, study: Study) -> list[str]:
    """Write the study and return the command line that fetches its set."""
    write_study(study, folder / "study.json")
    fetch_data = [sys.executable, "-m", "vlmfrontier", "fetch", "data", "--split", "train"]
    return [*fetch_data, "--study", str(folder / "study.json")]


def fetch(folder: Path, address: str, study: Study) -> subprocess.CompletedProcess:
    """Fetch with the script."""
    line = command(folder, study)
    return subprocess.run(line, env=environment(address, folder), capture_output=True, text=True, check=False)


def refused(folder: Path, address: str, study: Study) -> str:
    """Return the message of a fetch that is refused in one line, without a traceback and without a result."""
    done = fetch(folder, address, study)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not ResultsFolder(folder).fetched_data("train").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def kill_when(folder: Path, address: str, study: Study, happens) -> None:
    """Fetch, and kill the process as soon as `happens()`."""
    line = command(folder, study)
    process = subprocess.Popen(line, env=environment(address, folder), stdout=subprocess.DEVNULL)
    while not happens():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()


def downloads(hub: Hub) -> list[str]:
    """Return the files that were asked for, by name."""
    return [path.rsplit("/", 1)[1] for path in hub.asked if "resolve" in path or path.startswith("files/")]


def test_a_set_is_fetched_unpacked_and_prepared_and_then_nothing_is_fetched(hub, videos, tmp_path):
    study = study_of(tmp_path, HUB, ZIP)
    done = fetch(tmp_path, hub.address, study)
    assert done.returncode == 0, done.stderr
    found = json.loads(ResultsFolder(tmp_path).fetched_data("train").read_text())["made"]
    assert [(origin["commit"], origin["files"]) for origin in found["origins"]] == [(COMMIT, 4), (COMMIT, 1)]
    assert (found["records"], found["videos"], found["missing"]) == (8, 4, 0)
    sets = tmp_path / "sets/made"
    for name in NAMES:
        assert (sets / name).read_bytes() == (videos / name).read_bytes()
    assert not [path for path in sets.rglob("*") if is_archive(path.name)]  # removed once they are unpacked

    manifest = prepare_split(read_study(tmp_path / "study.json"), "train", tmp_path / "data/train", 1)
    assert (manifest["conversations"], manifest["videos"], manifest["problems"]) == (8, 4, {})
    written = (tmp_path / "sets/made.json").stat().st_mtime_ns
    hub.asked.clear()
    assert fetch(tmp_path, hub.address, study).returncode == 0
    assert downloads(hub) == []
    assert (tmp_path / "sets/made.json").stat().st_mtime_ns == written  # nothing is prepared again


def test_a_fetch_that_is_killed_goes_on_with_the_file_it_was_at(hub, tmp_path):
    study = study_of(tmp_path, HUB, ZIP)
    hub.hold = "videos_2.zip"
    kill_when(tmp_path, hub.address, study, hub.held.is_set)
    sets = tmp_path / "sets/made"
    assert [(sets / name).exists() for name in NAMES] == [True, True, False, True]
    assert list(sets.rglob("*.incomplete"))
    hub.hold = None
    hub.released.set()
    hub.asked.clear()
    done = fetch(tmp_path, hub.address, study)
    assert done.returncode == 0, done.stderr
    assert set(downloads(hub)) == {"videos_2.zip"}
    assert (sets / NAMES[2]).exists()
    assert not list(sets.rglob("*.incomplete"))


def test_an_unpacking_that_is_killed_begins_again(hub, videos, tmp_path):
    many = {f"alpha/{number}.txt": b"not a video" for number in range(6000)}
    content = {name: (videos / name).read_bytes() for name in NAMES} | many
    write_tar(hub.root / "datasets/open/set/one/videos_1.tar.gz", content)
    study = study_of(tmp_path, {**HUB, "videos": ["one/*.tar.gz"]})
    sets = tmp_path / "sets/made"
    kill_when(tmp_path, hub.address, study, (sets / ".fetch/unpacking/alpha/9.txt").exists)
    assert not (sets / "alpha").exists()  # nothing half done is in its place
    hub.asked.clear()
    done = fetch(tmp_path, hub.address, study)
    assert done.returncode == 0, done.stderr
    assert downloads(hub) == []  # it was whole
    assert len(list((sets / "alpha").iterdir())) == 6003
    assert not (sets / ".fetch/unpacking").exists()


def test_a_file_of_another_host_goes_on_where_it_stopped(hub, videos, tmp_path):
    (hub.root / "other").mkdir()
    write_tar(hub.root / "other/all.tar", {name: (videos / name).read_bytes() for name in NAMES})
    address = {"url": f"{hub.address}/files/other/all.tar"}
    other = {"urls": [address], "videos": ["*.tar"]}
    study = study_of(tmp_path, {**HUB, "videos": []}, other)
    hub.hold = "all.tar"
    half = (hub.root / "other/all.tar").stat().st_size // 2

    def half_is_there() -> bool:
        return sum(path.stat().st_size for path in tmp_path.glob("sets/made/.fetch/downloads/*/*.incomplete")) == half

    kill_when(tmp_path, hub.address, study, half_is_there)
    hub.hold = None
    done = fetch(tmp_path, hub.address, study)
    assert done.returncode == 0, done.stderr
    assert hub.asked[-1] == f"files/other/all.tar from {half}"
    assert json.loads((tmp_path / "data/train/fetched.json").read_text())["made"]["missing"] == 0

    wrong = study_of(tmp_path, {**HUB, "videos": []}, {**other, "urls": [{**address, "sha256": "0" * 64}]})
    (tmp_path / "data/train/fetched.json").unlink()
    assert "made: fetch: all.tar has not the SHA-256 000000000000…" in refused(tmp_path, hub.address, wrong)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"dataset": "closed/set"}, "made: fetch.dataset = 'closed/set': the data set is behind a licence; accept"),
        ({"dataset": "open/no--name"}, "made: fetch.dataset = 'open/no--name': Cannot have -- or .. in repo_id"),
        ({"dataset": "open/nothing"}, "made: fetch.dataset = 'open/nothing': the hub has no such data set"),
        ({"revision": "f00"}, "made: fetch.revision = 'f00': open/set has no such commit, tag or branch"),
        ({"videos": ["*/videos_3.tar"]}, "made: fetch.videos: no published file matches '*/videos_3.tar'"),
        ({"videos": ["*/pieces*"]}, "two/pieces.tar.gz.00 is a piece of a split archive; join the pieces by hand"),
        ({"videos": ["one/damaged.tar.gz"]}, "damaged.tar.gz: damaged archive (Compressed file ended before"),
        ({"videos": ["one/outside.tar"]}, "outside.tar: refused for its member '../outside.mp4'"),
    ],
)
def test_what_cannot_be_fetched_is_named_in_one_line(hub, tmp_path, part, message):
    published = hub.root / "datasets/open/set"
    (published / "two/pieces.tar.gz.00").write_bytes(b"begin")
    whole = (published / "one/videos_1.tar.gz").read_bytes()
    (published / "one/damaged.tar.gz").write_bytes(whole[: len(whole) // 2])
    write_tar(published / "one/outside.tar", {"../outside.mp4": b"escaped"})
    assert message in refused(tmp_path, hub.address, study_of(tmp_path, {**HUB, **part}))
    assert not list(tmp_path.rglob("outside.mp4"))


def test_what_is_wrong_is_found_before_the_videos_are_fetched(hub, tmp_path):
    said = refused(tmp_path, hub.address, study_of(tmp_path, HUB, ZIP, count=9))
    assert "have 8 records, not count: 9" in said
    hub.sizes["one/videos_1.tar.gz"] = 10**18
    said = refused(tmp_path, hub.address, study_of(tmp_path, HUB, ZIP))
    assert "2,000,000,000.0 GB are needed to fetch and unpack the data" in said
    assert not {"videos_1.tar.gz", "videos_2.zip"} & set(downloads(hub))


def test_a_file_of_the_user_is_not_replaced(hub, tmp_path):
    (tmp_path / "sets").mkdir()
    mine = tmp_path / "sets/made.json"
    mine.write_text("[]")
    assert f"made: {mine} is there and was not fetched" in refused(tmp_path, hub.address, study_of(tmp_path, HUB))
    assert mine.read_text() == "[]"


def test_videos_that_are_got_by_hand_are_asked_for_where_they_belong(hub, tmp_path):
    study = study_of(tmp_path, {**HUB, "videos": []}, by_hand="ask their owner")
    said = refused(tmp_path, hub.address, study)
    sets = tmp_path / "sets/made"
    assert said.endswith(
        f"made: 4 of 4 videos are missing, first alpha/plain.mp4: missing file; they belong in {sets}: ask their owner"
    )


def test_without_a_network_the_mend_is_named(tmp_path):
    said = refused(tmp_path, "http://127.0.0.1:9", study_of(tmp_path, HUB))
    assert "made: fetch.dataset = 'open/set': cannot be fetched (" in said
    assert said.endswith("; this step needs a node with network")


LLAVA_VIDEO = {
    "0_30_s_academic_v0_1/0_30_s_academic_v0_1_cap_processed.json": "academic_source/a.mp4",
    "0_30_s_academic_v0_1/0_30_s_academic_oe_v0_1_qa_processed.json": "academic_source/a.mp4",
    "1_2_m_youtube_v0_1/1_2_m_youtube_mc_v0_1_qa_processed.json": "liwei_youtube_videos/b.mp4",
    "30_60_s_activitynetqa/30_60_s_activitynetqa_oe_qa_processed.json": "ActivityNet-QA/c.mp4",
    "0_30_s_nextqa/0_30_s_nextqa_oe_qa_processed.json": "NextQA/NExTVideo/1006/8968804598.mp4",
    "0_30_s_nextqa/0_30_s_nextqa_mc_qa_processed.json": "NextQA/NExTVideo/1006/8968804598.mp4",
    "30_60_s_perceptiontest/30_60_s_perceptiontest_mc_qa_processed.json": "perception_test/d.mp4",
    "llava_hound/sharegptvideo_qa_255k_processed.json": "shareVideoGPTV/frames/all_frames/e",
}
"""Files of records as lmms-lab/LLaVA-Video-178K names them, each with the video of its one record."""
GPT_PLUS = ("conversation_videochatgpt", "vcg-plus_112K", "vcg_human_annotated", "conversation_videochat1")
GPT_PLUS += ("caption_videochat", "classification_k710", "classification_ssv2", "reasoning_clevrer_qa")
GPT_PLUS += ("reasoning_clevrer_mc", "vqa_webvid_qa")


def publish_the_papers_sets(root: Path, video: bytes) -> None:
    """Write a small edition of what paper.yaml fetches for training, under the published names."""
    llava = root / "datasets/lmms-lab/LLaVA-Video-178K"
    for name, path in LLAVA_VIDEO.items():
        (llava / name).parent.mkdir(parents=True, exist_ok=True)
        (llava / name).write_text(json.dumps([{**records(MADE[0])[0], "video": path}]))
        if path.endswith(".mp4"):
            folder = name.split("/")[0]
            write_tar(llava / folder / f"{folder}_videos_1.tar.gz", {path: video})
    frames = root / "datasets/ShareGPTVideo/train_video_and_instruction/train_300k"
    frames.mkdir(parents=True)
    write_tar(frames / "chunk_15.tar.gz", {f"e/c01_000{number}.jpeg": b"a frame" for number in range(3)})
    plus = root / "datasets/MBZUAI/VideoGPT-plus_Training_Dataset/annotations"
    plus.mkdir(parents=True)
    for name in GPT_PLUS:
        path = "video_00000-01000/f.mp4" if "clevrer" in name else f"{name}.mp4"
        (plus / f"{name}.json").write_text(json.dumps([{**records(MADE[0])[0], "video": path}]))
    with zipfile.ZipFile(root / "video_train.zip", "w") as archive:
        archive.writestr("video_00000-01000/f.mp4", video)


def test_the_papers_sets_are_fetched_and_seven_have_videos_to_be_put_by_hand(hub, videos, tmp_path):
    publish_the_papers_sets(hub.root, (videos / NAMES[0]).read_bytes())
    paper = json.loads(load_study([ROOT / "workflow/studies/paper.yaml"]).model_dump_json(by_alias=True))
    paper["sweep"]["designs"] = {"one": {"design": "rows", "rows": [{"N": "1B", "T": 1, "V": 1, "n": 1}]}}
    paper["laws"]["split"] = None
    for source in paper["data"]["llava"]["sources"]:
        source["count"] = None  # the published files have more
        for key in ("annotations", "videos"):
            source[key] = str(tmp_path / "datasets" / Path(source[key]).name)
        for part in source["fetch"]:
            part["revision"] = None
            part["urls"] = [{"url": f"{hub.address}/files/video_train.zip"} for _ in part["urls"]]
    done = fetch(tmp_path, hub.address, validate(paper))
    assert done.returncode == 2
    told = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    by_hand = ["VideoInstruct100K", "VCG+112K", "VideoChatGPT-Human", "VideoChat", "Kinetics-710"]
    by_hand += ["Something-Something-v2", "WebVid"]
    assert [line.split(":")[0] for line in told] == by_hand, done.stderr
    assert (
        f"they belong in {tmp_path / 'datasets/Activity_Videos'}: unpack instruction_tuning/Activity_Videos" in told[0]
    )
    for name in GPT_PLUS:
        if "clevrer" not in name:
            for folder in ("Activity_Videos", "VideoChat", "Kinetics-710", "Something-Something-v2", "WebVid"):
                shutil.copy(videos / NAMES[0], tmp_path / "datasets" / folder / f"{name}.mp4")
    again = fetch(tmp_path, hub.address, validate(paper))
    assert again.returncode == 0, again.stderr
    found = json.loads((tmp_path / "data/train/fetched.json").read_text())
    assert {name: (entry["records"], entry["missing"]) for name, entry in found.items()} == {
        source["name"]: ({"LLaVA-Video-178K": 3, "Next-QA": 2, "VideoChat": 2, "CLEVRER": 2}.get(source["name"], 1), 0)
        for source in paper["data"]["llava"]["sources"]
    }
