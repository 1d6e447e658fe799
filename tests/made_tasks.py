"""Two tasks of lmms-eval as users would write them, about made videos: one scored by itself, one by a judge."""

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from tests.made_videos import MadeVideo, records

TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.video
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
process_results: !function utils.{scored}
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]
"""
FUNCTIONS = """
import ast
import os
from difflib import SequenceMatcher

import requests


def video(document):
    return [document["video"]]


def by_itself(document, answers):
    return {"alike": SequenceMatcher(None, answers[0], document["answer"]).ratio()}


def by_judge(document, answers):
    content = f"Rate 0 to 5. Truth: {document['answer']} Answer: {answers[0]}"
    request = {"model": os.environ["MODEL_VERSION"], "messages": [{"role": "user", "content": content}]}
    said = requests.post(os.environ["OPENAI_API_URL"], json=request, timeout=60).json()
    return {"rated": ast.literal_eval(said["choices"][0]["message"]["content"])["score"]}
"""
TASKS = {
    "ALIKE": {"tasks": ["alike"], "metric": "alike", "best": 1},
    "RATED": {"tasks": ["rated"], "metric": "rated", "best": 5, "judged": True},
}
"""How a study names and measures them."""


def write_tasks(folder: Path, videos: Path, about: Sequence[MadeVideo]) -> None:
    """Write both tasks into `folder`, lmms-eval's `include_path`: one asks for colours, the other for directions."""
    folder.mkdir(parents=True)
    turns = [(videos / video.name, records(video)[1]["conversations"]) for video in about]
    for name, scored, first in (("alike", "by_itself", 0), ("rated", "by_judge", 2)):
        rows = [
            {"video": str(path), "question": said[first]["value"].removeprefix("<video>\n")}
            | {"answer": said[first + 1]["value"]}
            for path, said in turns
        ]
        questions = folder / f"{name}.jsonl"
        questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = TASK.format(name=name, questions=questions, scored=scored, metric=name)
        (folder / f"{name}.yaml").write_text(task)
    (folder / "utils.py").write_text(FUNCTIONS)


def judge_likeness(request: dict, _: int) -> str:
    """Rate an answer by how much of the truth it spells, in tenths of a point."""
    content = request["messages"][-1]["content"]
    truth, answer = re.fullmatch(r"Rate 0 to 5\. Truth: (.*) Answer: (.*)", content, re.DOTALL).groups()
    return f"{{'score': {5 * SequenceMatcher(None, answer, truth).ratio():.1f}}}"
