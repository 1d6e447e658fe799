"""From published sets to a split: every problem is named and counted, nothing hangs, nothing is done twice."""

import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.made_videos import VIDEOS, hanging, write_broken, write_sources
from vlmfrontier.data.annotations import read_annotations
from vlmfrontier.data.conversations import open_conversations
from vlmfrontier.data.prepare import build_llava, prepare_split
from vlmfrontier.data.probe import Probes
from vlmfrontier.errors import UserError
from vlmfrontier.study.data import LlavaConfig
from vlmfrontier.study.load import validate
from vlmfrontier.training.examples import nested_subset, subset_hash


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("made")
    return folder, write_sources(folder)


def said(question: str = "what?", answer: str = "that", roles: Sequence[str] = ("human", "gpt")) -> list[dict]:
    return [{"from": roles[0], "value": f"<image>\n{question}"}, {"from": roles[1], "value": answer}]


def record(name: str, video: str = "whole.mp4", **changes) -> dict:
    return {"id": name, "video": video, "conversations": said(), **changes}


def settings_of(folder: Path, **changes) -> LlavaConfig:
    source = {
        "name": "set",
        "annotations": str(folder / "set.json"),
        "videos": str(folder),
        **changes.pop("source", {}),
    }
    return LlavaConfig(sources=[source], **{"failures": 1.0, "timeout": 20.0, **changes})


def build(folder: Path, settings: LlavaConfig, said_to=lambda line: None, **more) -> dict:
    return build_llava(folder / "out", "train", settings.sources, settings, processes=2, say=said_to, **more)


def problems(folder: Path) -> dict[str, str]:
    with (folder / "out" / "problems.csv").open() as file:
        return {row["id"]: row["kind"] for row in csv.DictReader(file)}


def test_a_split_has_every_conversation_and_knows_every_video(made, tmp_path):
    _, section = made
    settings = LlavaConfig(**section)
    manifest = build(tmp_path, settings)
    assert manifest["conversations"] == 24
    assert manifest["problems"] == {}
    assert {name: source["videos"] for name, source in manifest["sources"].items()} == {"alpha": 6, "beta": 6}
    conversations = open_conversations(tmp_path / "out")
    assert len(conversations) == 24
    assert conversations.ids == [conversation.id for conversation in conversations]
    assert conversations[1].turns == (("What colour is the square?", "red"), ("Where does it move?", "It moves right."))
    assert conversations.lengths.tolist() == [conversation.characters for conversation in conversations]
    with (tmp_path / "out" / "videos.csv").open() as file:
        known = {row["video"].split("/", 1)[1]: row for row in csv.DictReader(file)}
    for video in VIDEOS:
        row = known[video.name]
        assert (int(row["frames"]), int(row["width"]), int(row["height"])) == (video.frames, video.width, video.height)
        assert row["constant"] == str(not video.gaps)
        # Matroska tells times in whole milliseconds.
        if not video.gaps:
            assert float(row["seconds"]) == pytest.approx(video.frames / video.fps, abs=0.002)


BROKEN = {
    "truncated": "unreadable",  # what is cut off holds the index, without which nothing is readable
    "truncated_late": "truncated",
    "no_frames": "no video stream",  # an mp4 does not even name a stream of no frames
    "no_packets": "unreadable",
    "audio_only": "no video stream",
    "empty": "unreadable",
    "text": "unreadable",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> tuple[Path, dict, list[str]]:
    """A set of real files in which everything that can be wrong is wrong once, prepared: folder, manifest, lines."""
    root = tmp_path_factory.mktemp("broken")
    folder = root / "videos"
    folder.mkdir()
    files = write_broken(folder)
    (root / "secret.mp4").write_bytes((folder / "whole.mp4").read_bytes())
    (folder / "link.mp4").symlink_to(root / "secret.mp4")
    (folder / "folder.mp4").mkdir()
    records = [
        record("good"),
        *(record(kind, path.name) for kind, path in files.items()),
        record("above", "../secret.mp4"),
        record("absolute", str(folder / "whole.mp4")),
        record("through a link", "link.mp4"),
        record("missing", "nowhere.mp4"),
        record("folder", "folder.mp4"),
        record("unknown role", conversations=said(roles=("user", "gpt"))),
        record("system", conversations=[{"from": "system", "value": "be nice"}, *said()]),
        record("two questions", conversations=[*said(), *said()[:1], *said()[:1]]),
        record("empty answer", conversations=said(answer="  ")),
        record("only a tag", conversations=said(answer="<image>")),
        record("null answer", conversations=[said()[0], {"from": "gpt", "value": None}]),
        record("no turns", conversations=[]),
        record("no video", video=None),
        record("good", conversations=said("another?")),
        record("last good"),
        ["not a record"],
    ]
    text = json.dumps(records, ensure_ascii=False)
    bad = json.dumps(record("not UTF-8", conversations=said(answer="caf@")), ensure_ascii=False)
    content = text[:-1].encode() + b"," + bad.encode().replace(b"caf@", b"caf\xe9") + b"]"
    (folder / "set.json").write_bytes(content)
    lines: list[str] = []
    manifest = build(folder, settings_of(folder), lines.append)
    return folder, manifest, lines


def test_every_broken_input_is_named_with_its_id_and_counted(broken):
    folder, manifest, _ = broken
    named = problems(folder)
    expected = {
        **BROKEN,
        "above": "path outside the folder",
        "absolute": "path outside the folder",
        "through a link": "path outside the folder",
        "missing": "missing file",
        "folder": "no frame",
        "unknown role": "unknown role",
        "system": "unknown role",
        "two questions": "turns do not alternate",
        "empty answer": "empty answer",
        "only a tag": "empty answer",
        "null answer": "empty answer",
        "no turns": "turns do not alternate",
        "no video": "missing key",
        "good": "duplicate id",
        "set.json record 24": "not a record",
        "not UTF-8": "not UTF-8",
    }
    assert named == expected
    assert sum(manifest["problems"].values()) == len(expected)
    assert manifest["problems"]["path outside the folder"] == 3
    assert manifest["sources"]["set"]["records"] == len(expected) + 2


def test_what_is_left_is_exactly_what_is_good(broken):
    folder, manifest, _ = broken
    conversations = open_conversations(folder / "out")
    assert conversations.ids == ["set/good", "set/last good"]
    assert conversations[0].turns == (("what?", "that"),)  # the first of two with the same id
    assert manifest["conversations"] == 2


def test_too_many_problems_refuse_the_data(broken, tmp_path):
    folder, _, _ = broken
    settings = settings_of(folder, failures=0.5)
    with pytest.raises(
        UserError, match=r"(?s)23 of 25 records .* 3 path outside the folder.*data\.llava\.failures = 0\.5"
    ):
        build_llava(tmp_path, "train", settings.sources, settings, say=lambda line: None)
    assert (tmp_path / "problems.csv").exists()
    assert not (tmp_path / "manifest.json").exists()


def test_a_second_call_looks_into_nothing_again_but_what_has_changed(made, tmp_path):
    folder, section = made
    settings = LlavaConfig(**section)
    lines: list[str] = []
    first = build(tmp_path, settings, lines.append)
    assert build(tmp_path, settings, lines.append) == first
    assert "0 looked into, 12 known" in lines[-1]
    journal = tmp_path / "out" / "probes.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # killed while it wrote the last line
    changed = folder / "videos" / VIDEOS[0].name
    before = changed.read_bytes()
    changed.write_bytes((folder / "videos" / VIDEOS[4].name).read_bytes())
    try:
        again = build(tmp_path, settings, lines.append)
    finally:
        changed.write_bytes(before)
    assert "2 looked into, 10 known" in lines[-1]
    assert again["hash_videos"] != first["hash_videos"]
    assert again["hash_conversations"] == first["hash_conversations"]
    assert build(tmp_path, settings) == first


def test_a_preparation_that_is_killed_goes_on(made, tmp_path):
    folder, _ = made
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vlmfrontier", "data", "--annotations", str(folder / "alpha.json")]
    command += ["--videos", str(folder / "videos"), "--output", str(out), "--checked-frames", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (out / "probes.jsonl").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line)["video"] for line in (out / "probes.jsonl").read_text().splitlines()]
    assert sorted(seen) == sorted({f"mine/{video.name}" for video in VIDEOS[:6]})  # each was looked into once
    assert len(open_conversations(out)) == 12


def test_other_data_folders_give_the_same_hashes(made, tmp_path):
    """Moving the videos elsewhere must not train anything again."""
    folder, section = made
    there = tmp_path / "there"
    there.symlink_to(folder, target_is_directory=True)
    moved = json.loads(json.dumps(section).replace(str(folder), str(there)))
    one, two = (build(tmp_path / name, LlavaConfig(**s)) for name, s in (("a", section), ("b", moved)))
    assert one["hash_conversations"] == two["hash_conversations"]
    assert one["hash_videos"] == two["hash_videos"]


def test_a_video_that_hangs_is_killed_named_and_tried_again(made, tmp_path):
    """A file that another process holds hangs inside the operating system: no code of this process could end that."""
    folder, _ = made
    hangs, good = tmp_path / "hangs.mp4", folder / "videos" / VIDEOS[0].name
    hangs.write_bytes(good.read_bytes())
    probes = Probes(tmp_path, checked_frames=1, timeout=0.1)
    videos = [("before", lambda: good), ("hangs", lambda: hangs), ("after", lambda: good)]
    lines: list[str] = []
    with hanging(hangs):
        probes.look(videos, 3, processes=1, say=lines.append)
    assert probes.problem("hangs")[0] == "timeout"
    assert [name for name, _ in probes.facts()] == ["before", "after"]
    # Another time there may be less to do: what took too long is not known, the others are.
    again = Probes(tmp_path, checked_frames=1, timeout=20.0)
    again.look(videos, 3, processes=1, say=lines.append)
    assert again.problem("hangs") is None
    assert "1 looked into, 2 known" in lines[-1]


def test_a_count_that_is_not_there_is_refused_before_any_video_is_looked_into(made, tmp_path):
    _, section = made
    alpha = {**section["sources"][0], "count": 13}
    lines: list[str] = []
    with pytest.raises(UserError, match=r"12 records, not count: 13"):
        build(tmp_path, LlavaConfig(sources=[alpha]), lines.append)
    assert lines == ["alpha: 12 records"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"id": 1}, {"id": ', "record 2: not JSON"),
        (b"\xff\xfe[\x00]\x00", "not in UTF-8"),
        (b"", "neither a JSON list"),
        (b'"text"', "neither a JSON list"),
    ],
)
def test_a_file_that_is_no_list_is_refused_with_the_place(tmp_path, content, message):
    (tmp_path / "set.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_annotations(tmp_path / "set.json"))


def test_lists_and_lines_say_the_same_also_across_the_pieces_they_are_read_in(tmp_path, monkeypatch):
    records = [record(f"é{i}", conversations=said("ß" * (i % 50))) for i in range(200)]
    (tmp_path / "list.json").write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8-sig")
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(r) for r in records))
    monkeypatch.setattr("vlmfrontier.data.annotations.CHUNK", 300)  # less than some records
    for name in ("list.json", "lines.jsonl"):
        read = list(read_annotations(tmp_path / name))
        assert [r.content for r in read] == records
        assert all(r.kind is None for r in read)


def test_a_line_that_is_no_json_is_one_problem(tmp_path):
    lines = [json.dumps(record("a")), '{"id": "b', json.dumps(record("c"))]
    (tmp_path / "set.jsonl").write_text("\n".join(lines))
    read = list(read_annotations(tmp_path / "set.jsonl"))
    assert [r.kind for r in read] == [None, "not a record", None]
    assert read[1].where.endswith("line 2")


def test_repeated_ids_are_numbered_where_the_source_says_so(tmp_path):
    write_broken(tmp_path)
    (tmp_path / "set.json").write_text(json.dumps([record("v"), record("v"), record("w")]))
    settings = settings_of(tmp_path, source={"ids": "repeated"}, failures=0.0)
    build(tmp_path, settings)
    assert open_conversations(tmp_path / "out").ids == ["set/v#1", "set/v#2", "set/w#1"]


def test_names_without_an_ending_are_found(tmp_path):
    write_broken(tmp_path)
    (tmp_path / "set.json").write_text(json.dumps([record("v", "whole")]))
    with pytest.raises(UserError, match="missing file"):
        build(tmp_path, settings_of(tmp_path, failures=0.0))
    settings = settings_of(tmp_path, source={"extensions": [".webm", ".mp4"]}, failures=0.0)
    assert build(tmp_path, settings)["conversations"] == 1


def study_of(section: dict, n: int) -> dict:
    rows = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": n}]}
    return {
        "study": "real",
        "data": {"source": "llava", "llava": section},
        "models": {"start": "somewhere"},
        "sweep": {"designs": {"few": rows}},
        "evaluate": {"harness": "lmms-eval"},
    }


def test_more_examples_than_there_are_are_refused_before_any_job(made):
    _, section = made
    assert validate(study_of(section, 24)).data.examples == 24
    with pytest.raises(UserError, match="the training data has 24 examples"):
        validate(study_of(section, 25))


def test_more_examples_than_can_be_used_are_refused_when_the_data_is_prepared(made, tmp_path):
    _, section = made
    unknown = {**section, "sources": [{**source, "count": None} for source in section["sources"]]}
    study = validate(study_of(unknown, 25))
    assert study.data.examples is None
    with pytest.raises(UserError, match=r"25 examples .* 24 "):
        prepare_split(study, "train", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": []}, "llava.sources"),
        ({"sources": [{"name": "a/b", "annotations": "x", "videos": "y"}]}, "letters, digits"),
        ({"sources": [{"name": "a", "annotations": "x", "videos": "y"}] * 2}, "two sources are called 'a'"),
        ({"sources": [{"name": "a", "annotations": [], "videos": "y"}]}, "empty"),
        ({"sources": [{"name": "a", "videos": "y"}]}, "annotations: missing"),
    ],
)
def test_a_mistake_in_the_section_is_told_in_words(change, message):
    with pytest.raises(UserError, match=message):
        validate(study_of(change, 1))


def test_stage_one_needs_a_set_where_starting_models_are_made(made):
    _, section = made
    study = {**study_of({**section, "align": None}, 10), "models": {"start": None}}
    with pytest.raises(UserError, match=r"data\.llava\.align"):
        validate(study)


def test_subsets_keep_the_shares_of_the_sources():
    sources = np.repeat(np.arange(3), [600, 300, 100])
    ids = [f"s{s}/{i}" for i, s in enumerate(sources)]
    order = nested_subset(ids, 1000, seed=4, sources=sources)
    assert sorted(order) == list(range(1000))
    taken = np.stack([np.cumsum(sources[order] == s) for s in range(3)], axis=1)
    exact = np.arange(1, 1001)[:, None] * np.array([0.6, 0.3, 0.1])
    # Each source is half an example off its own line, and the place in the order half an example per source.
    assert np.abs(taken - exact).max() <= 0.5 + 0.6 * 1.5
    assert nested_subset(ids, 137, seed=4, sources=sources) == order[:137]
    assert nested_subset(ids, 1000, seed=5, sources=sources) != order


def test_subsets_do_not_depend_on_the_order_of_files_and_one_source_changes_nothing():
    ids = [f"id{i}" for i in range(60)]
    assert nested_subset(ids, 20, 3, np.zeros(60, int)) == nested_subset(ids, 20, 3)
    sources = np.arange(60) % 4
    mixed = np.random.default_rng(0).permutation(60)
    there = nested_subset([ids[i] for i in mixed], 25, 3, sources[mixed])
    assert [ids[mixed[i]] for i in there] == [ids[i] for i in nested_subset(ids, 25, 3, sources)]


def test_the_order_of_the_digits_study_is_the_one_its_runs_were_trained_in():
    """The first examples of the default study, as they were before sources had shares."""
    ids = [f"train-{i:06d}" for i in range(800)]
    subset = nested_subset(ids, 200, seed=0, sources=np.zeros(800, np.int64))
    assert subset[:8] == [53, 66, 370, 537, 63, 468, 426, 232]
    assert subset_hash([ids[i] for i in subset]) == "7310bb63d34ed84b"


def test_the_command_prepares_a_set_without_a_study(made, tmp_path):
    folder, _ = made
    command = [sys.executable, "-m", "vlmfrontier", "data", "--annotations", str(folder / "alpha.json")]
    command += ["--videos", str(folder / "videos"), "--output", str(tmp_path / "out"), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 videos, 18 questions" in done.stdout
    wrong = subprocess.run([*command[:-4], "--count", "5"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr
