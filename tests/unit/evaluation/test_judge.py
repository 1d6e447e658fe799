"""A judge that is down, slow, or talks nonsense ends the job with one message; it never becomes a score."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.made_judge import judging
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.judge import GarbageError, Replies, ask_all, prompt_hashes, rating
from vlmfrontier.evaluation.relay import PLACEHOLDER, Answering, Collecting, serving
from vlmfrontier.files import append_line, read_lines
from vlmfrontier.study.evaluation import JudgeConfig


def asking(text: str, pred: bool = False) -> dict:
    instruction = "Rate it with keys 'pred' and 'score'" if pred else "Rate it with key 'score'"
    messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
    return {"messages": messages, "temperature": 0, "max_tokens": 64}


BODIES = [asking(f"answer {i}") for i in range(12)]


class Waits(list):
    """Instead of sleeping, note for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def config(url: str, **more) -> JudgeConfig:
    return JudgeConfig(
        **{"url": url, "model": "made", "key": None, "retries": 3, "concurrency": 4, "timeout": 5, **more}
    )


def ask(path: Path, judge: JudgeConfig, bodies=BODIES, sleep=None) -> tuple[Replies, int]:
    replies = Replies(path / "replies.jsonl", judge.model)
    asked = ask_all(bodies, replies, judge, sleep=Waits() if sleep is None else sleep)
    return replies, asked


@pytest.mark.parametrize(
    ("text", "pred", "expected"),
    [
        ("{'score': 4}", False, "{'score': 4}"),
        ('```json\n{"score": "3.0"}\n```', False, "{'score': 3}"),
        ("Here it is: {'pred': 'Yes', 'score': 4.8}. Well done!", True, "{'pred': 'yes', 'score': 4.8}"),
        ("{'score': 5, 'reason': 'all there'}", False, "{'score': 5}"),
    ],
)
def test_a_rating_is_found_wherever_it_stands(text, pred, expected):
    assert rating(text, pred) == expected


@pytest.mark.parametrize(
    ("text", "pred"),
    [
        ("", False),
        ("Score: 4", False),
        ("{'score': 7}", False),
        ("{'score': -1}", False),
        ("{'score': True}", False),
        ("{'score': 'high'}", False),
        ("{'score': nan}", False),
        ("{'score': 4} {'score': 2}", False),
        ("{'score': 4}", True),
        ("{'pred': 'maybe', 'score': 4}", True),
        ("{'pred': 'yes'}", True),
        ("{'score': __import__('os')}", False),
    ],
)
def test_what_is_no_rating_is_garbage(text, pred):
    with pytest.raises(GarbageError):
        rating(text, pred)


def test_replies_are_kept_and_a_second_run_asks_nothing(tmp_path):
    with judging(lambda request, _: f"{{'score': {request['messages'][1]['content'][-1]}}}") as judge:
        bodies = [asking(f"answer {i}") for i in range(6)]
        _, asked = ask(tmp_path, config(judge.url), bodies)
        assert asked == len(judge.asked) == 6
        assert {request["model"] for request in judge.asked} == {"made"}
    # The server is gone, and everything is known.
    again, asked = ask(tmp_path, config(judge.url), bodies)
    assert asked == 0
    assert [again.text(body) for body in bodies] == [f"{{'score': {i}}}" for i in range(6)]
    assert {again.model(body) for body in bodies} == {"made-2026"}


def test_another_judge_or_another_request_is_asked_anew(tmp_path):
    with judging(lambda *_: "{'score': 1}") as judge:
        ask(tmp_path, config(judge.url))
        _, other_judge = ask(tmp_path, config(judge.url, model="other"))
        _, other_request = ask(tmp_path, config(judge.url), [{**BODIES[0], "temperature": 1}])
    assert (other_judge, other_request) == (len(BODIES), 1)


def test_a_server_error_is_tried_again_after_growing_waits(tmp_path):
    waits = Waits()
    with judging(lambda _, before: 500 if before < 2 else "{'score': 2}") as judge:
        replies, _ = ask(tmp_path, config(judge.url), BODIES[:1], waits)
        assert len(judge.asked) == 3
    assert waits == [1, 2]
    assert replies.text(BODIES[0]) == "{'score': 2}"


def test_the_server_says_how_long_to_wait(tmp_path):
    waits = Waits()
    with judging(lambda _, before: 429 if before < 1 else "{'score': 2}", retry_after="7") as judge:
        ask(tmp_path, config(judge.url), BODIES[:1], waits)
    assert waits == [7]


def test_a_judge_that_is_down_fails_the_job(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(UserError, match=r"refused.* \(4 tries\); 0 of 12 "):
            ask(tmp_path, config(url))


def test_a_refused_key_is_not_tried_again(tmp_path):
    with judging(lambda *_: 401) as judge, pytest.raises(UserError, match="HTTP 401"):
        ask(tmp_path, config(judge.url), BODIES[:1])
    assert len(judge.asked) == 1


def test_garbage_fails_the_job_when_it_stays_garbage(tmp_path):
    with judging(lambda *_: "I would rather not say") as judge:
        with pytest.raises(UserError, match=r"'I would rather not say' .*\(4 tries\)"):
            ask(tmp_path, config(judge.url), BODIES[:1])
        assert len(judge.asked) == 4
    assert list(read_lines(tmp_path / "replies.jsonl")) == []


def test_garbage_once_is_asked_again(tmp_path):
    with judging(lambda _, before: "{'score': 3}" if before else "hm") as judge:
        replies, _ = ask(tmp_path, config(judge.url), BODIES[:1])
    assert replies.text(BODIES[0]) == "{'score': 3}"


def test_what_was_rated_before_a_failure_is_not_asked_again(tmp_path):
    last = BODIES[-1]["messages"][1]["content"]

    def all_but_the_last(request, _):
        return 400 if request["messages"][1]["content"] == last else "{'score': 3}"

    with judging(all_but_the_last) as judge, pytest.raises(UserError, match="11 of 12 scores are kept"):
        ask(tmp_path, config(judge.url, concurrency=1))
    with judging(lambda *_: "{'score': 4}") as judge:
        _, asked = ask(tmp_path, config(judge.url))
    assert asked == 1


def test_the_key_comes_from_the_environment_and_is_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_KEY", "secret-of-mine")
    with judging(lambda *_: "{'score': 4}") as judge:
        ask(tmp_path, config(judge.url, key="MADE_KEY"))
        assert set(judge.keys) == {"Bearer secret-of-mine"}
    assert "secret-of-mine" not in (tmp_path / "replies.jsonl").read_text()
    monkeypatch.delenv("MADE_KEY")
    with pytest.raises(UserError, match=r"judge\.key = 'MADE_KEY'"):
        ask(tmp_path, config(judge.url, key="MADE_KEY"), [asking("new")])


def post(url: str, body: dict) -> str:
    request = urllib.request.Request(url, json.dumps({"model": "m", **body}).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return json.loads(response.read())["choices"][0]["message"]["content"]


def test_the_relay_takes_requests_down_once_and_later_answers_them(tmp_path):
    requests = tmp_path / "requests.jsonl"
    for _ in range(2):  # a second attempt of the job
        with serving(Collecting(requests)) as url:
            assert {post(url, body) for body in BODIES} == {PLACEHOLDER}
    taken = list(read_lines(requests))
    assert taken == BODIES
    with judging(lambda request, _: f"{{'score': {len(request['messages'][1]['content']) % 5}}}") as judge:
        replies, _ = ask(tmp_path, config(judge.url), taken)
    answers = Answering(replies)
    with serving(answers) as url:
        assert post(url, BODIES[3]) == replies.text(BODIES[3]) == "{'score': 3}"
        assert answers.unknown == []
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post(url, asking("never asked"))
    assert answers.unknown == [asking("never asked")]


def test_half_a_line_that_a_kill_left_is_neither_read_nor_written_on(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"b":')
    append_line(path, {"c": 3})
    assert list(read_lines(path)) == [{"a": 1}, {"c": 3}]


def test_instructions_are_known_by_their_hash():
    hashes = prompt_hashes([asking("a"), asking("b"), asking("c", pred=True)])
    assert sorted(hashes.values()) == [1, 2]
    assert all(len(name) == 16 for name in hashes)
