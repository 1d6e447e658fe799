"""Annotations, options and folders as they should not be: one line that says what and where, never a traceback."""

import json
import math
import sys
from pathlib import Path

import pytest

from tests.made_videos import MadeVideo, draw, encode
from vlmfrontier.command.main import main
from vlmfrontier.data.conversations import open_conversations, read_conversations
from vlmfrontier.errors import UserError

TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
DEEP = "[" * 100_000 + "]" * 100_000


def record(**changes) -> dict:
    return {"id": "x", "video": "a.mp4", "conversations": TURNS, **changes}


def answered(question: object, answer: object) -> dict:
    return record(conversations=[{"from": "human", "value": question}, {"from": "gpt", "value": answer}])


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    video = MadeVideo("a.mp4", frames=4)
    encode(draw(video), folder / "a.mp4", video)
    return folder


@pytest.fixture
def prepare(tmp_path, videos, monkeypatch, capfd):
    """A call of the script: its status and what it says."""

    def call(content: str | bytes, *options: str) -> tuple[int, str]:
        file = tmp_path / "set.json"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        given = ["--annotations", str(file), "--videos", str(videos), "--output", str(tmp_path / "out"), *options]
        monkeypatch.setattr(sys, "argv", ["vlmfrontier", "data", *given])
        status = 0
        try:
            main()
        except SystemExit as error:
            status = error.code
        said = capfd.readouterr()
        return status, said.err or said.out

    return call


FILES = {
    "nested": (DEEP, "record 1: lists or maps within each other"),
    "nested in the second": (json.dumps([record()])[:-1] + f', {{"x": {DEEP}}}]', "record 2: lists or maps"),
    "not whole": ('[{"id": 1}, {"id"', "record 2: not JSON"),
    "no JSON": ('[{"id": 1,,}]', "record 1: not JSON"),
    "two lists": (json.dumps([record()]) * 2, "more follows after the end of the list"),
    "bytes behind": (json.dumps([record()]).encode() + b"\xe9", "more follows after the end of the list"),
    "UTF-16": (json.dumps([record()]).encode("utf-16"), "neither a JSON list nor JSON Lines"),
    "gzip": (b"\x1f\x8b\x08\x00", "neither a JSON list nor JSON Lines"),
    "every byte": (bytes(range(256)), "neither a JSON list nor JSON Lines"),
    "a number": ("5", "neither a JSON list nor JSON Lines"),
    "blank": (" \n\n", "neither a JSON list nor JSON Lines"),
    "no record": ("[]", "no example can be used"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_list_of_records_is_refused(prepare, case):
    content, message = FILES[case]
    status, said = prepare(content)
    assert status == 2
    assert said.startswith("error: ")
    assert message in said


RECORDS = {
    "nested": ('{"id": "y", "video": "a.mp4", "x": ' + DEEP + "}", "not a record"),
    "nested maps": ('{"a": ' * 100_000 + "1" + "}" * 100_000, "not a record"),
    "huge id": ('{"id": ' + "9" * 5000 + f', "video": "a.mp4", "conversations": {json.dumps(TURNS)}}}', "wrong type"),
    "NaN id": (json.dumps(record(id=math.nan)), "wrong type"),
    "infinite id": ('{"id": 1e999, "video": "a.mp4", "conversations": ' + json.dumps(TURNS) + "}", "wrong type"),
    "list id": (json.dumps(record(id=["x"])), "wrong type"),
    "map id": (json.dumps(record(id={"x": 1})), "wrong type"),
    "true id": (json.dumps(record(id=True)), "wrong type"),
    "number as video": (json.dumps(record(video=5)), "missing key"),
    "list as video": (json.dumps(record(video=["a.mp4"])), "missing key"),
    "NUL in video": (json.dumps(record(video="a\0.mp4")), "unreadable"),
    "long video": (json.dumps(record(video="a" * 5000)), "unreadable"),
    "the folder as video": (json.dumps(record(video=".")), "no frame"),
    "list as question": (json.dumps(answered(["q"], "a")), "wrong type"),
    "map as answer": (json.dumps(answered("q", {"a": 1})), "wrong type"),
    "NaN as answer": (json.dumps(answered("q", math.nan)), "wrong type"),
    "true as answer": (json.dumps(answered("q", True)), "wrong type"),
    "list as role": (json.dumps(record(conversations=[{"from": ["human"], "value": "q"}, TURNS[1]])), "unknown role"),
    "map of turns": (json.dumps(record(conversations={"a": 1})), "turns do not alternate"),
    "text of turns": (json.dumps(record(conversations="q")), "turns do not alternate"),
    "Latin 1": (json.dumps(record(id="caf@")).encode().replace(b"@", b"\xe9"), "not UTF-8"),
    "half a pair": ('{"id": "\\ud800", "video": "a.mp4", "conversations": ' + json.dumps(TURNS) + "}", "not UTF-8"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_of_wrong_kinds_is_one_counted_problem(prepare, tmp_path, case):
    line, kind = RECORDS[case]
    good = json.dumps(record(id="good")).encode()
    status, said = prepare(good + b"\n" + (line.encode() if isinstance(line, str) else line), "--failures", "1")
    assert (status, "1 records left out" in said) == (0, True)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["problems"] == {kind: 1}
    assert open_conversations(tmp_path / "out").ids == ["mine/good"]


def test_numbers_are_answers_too(prepare, tmp_path):
    assert prepare(json.dumps([{**answered(5, 0), "id": 7}]))[0] == 0
    found = open_conversations(tmp_path / "out")[0]
    assert (found.id, found.turns) == ("mine/7", (("5", "0"),))


OPTIONS = ["processes 0", "processes -3", "processes 100000", "timeout 0", "timeout -1", "timeout nan", "timeout inf"]
OPTIONS += ["failures 2", "failures -1", "failures nan", "checked-frames -1", "count 0", "count -5"]
OPTIONS += ["name a/b", "name ../x", "name x;y", "timeout abc", "kind film", "ids some", "count 5", "videos /nowhere"]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_out_of_range_is_refused_by_its_name(prepare, option):
    name, value = option.split(" ")
    status, said = prepare(json.dumps([record()]), f"--{name}", value)
    assert status == 2
    assert "Traceback" not in said
    assert name in said or value in said


def test_links_that_lead_back_to_themselves_are_named(prepare, tmp_path):
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / "a.mp4").symlink_to("b.mp4")
    (loop / "b.mp4").symlink_to("a.mp4")
    (loop / "self").symlink_to("self")
    status, said = prepare(json.dumps([record()]), "--videos", str(loop))
    assert (status, "unreadable" in said, "Traceback" in said) == (2, True, False)
    status, said = prepare(json.dumps([record()]), "--videos", str(loop / "self"))
    assert (status, "loop/self" in said, "Traceback" in said) == (2, True, False)
    for output in (loop / "self", loop / "a.mp4", tmp_path / "set.json"):
        status, said = prepare(json.dumps([record()]), "--output", str(output))
        assert (status, "cannot be written to" in said, "Traceback" in said) == (2, True, False)


@pytest.mark.parametrize("line", [b"{}\n", b"not JSON\n", b"[]\n", b'{"video": "mine/a.mp4"}\n', DEEP.encode() + b"\n"])
def test_a_damaged_journal_is_looked_into_again(prepare, tmp_path, line):
    assert prepare(json.dumps([record()]))[0] == 0
    (tmp_path / "out/probes.jsonl").write_bytes(line)
    status, said = prepare(json.dumps([record()]))
    assert (status, "1 looked into" in said) == (0, True)


@pytest.mark.parametrize("content", ["{}", "[1]", "5", DEEP, "[", '"x"'])
def test_damaged_conversations_are_named(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match=r"c\.json"):
        read_conversations(tmp_path / "c.json")
