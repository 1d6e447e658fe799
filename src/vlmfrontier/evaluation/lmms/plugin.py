"""Our model as lmms-eval sees it; runs in lmms-eval's environment, found through the entry point `lmms_eval.models`.

Frames, tokens and prompt are those of the training: the run's record says T and V, `data.video` chooses the frames,
`PromptBuilder` writes the prompt. The questions of a video are answered together, the video read and seen once, for all
numbers of tokens that the job names.

python -m vlmfrontier.evaluation.lmms.plugin --tasks videomme,mvbench --output found.json

makes lmms-eval fetch the data sets of tasks, and counts what is there.
"""

import json
import os
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from lmms_eval.tasks import TaskManager, get_task_dict
from transformers import AutoTokenizer

from vlmfrontier.data.decoder import DecoderProcess, decode_all
from vlmfrontier.data.problems import VideoError
from vlmfrontier.data.sampling import FrameRule
from vlmfrontier.evaluation.lmms.job import (
    JOB_VARIABLE,
    AnswerJob,
    GivenAnswer,
    answer_key,
    environment_file,
    read_answers,
)
from vlmfrontier.evaluation.packed import PackedReader, new_tensors_on
from vlmfrontier.files import append_line
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLMConfig
from vlmfrontier.models.vision import resize
from vlmfrontier.models.weights import PRECISIONS, device_name, load_model
from vlmfrontier.progress import counted
from vlmfrontier.provenance import provenance

manifest = ModelManifest("vlmfrontier", simple_class_path="vlmfrontier.evaluation.lmms.plugin.FinetunedModel")

PACKED_QUESTIONS = 16
"""Questions about one video that are answered together, at most."""
AHEAD = min(8, os.cpu_count() or 1)
"""Videos that are decoded while one is looked at, each in a process of its own."""


class Asked:
    """One request of lmms-eval."""

    def __init__(self, job: AnswerJob, request: Instance, task_dict: dict, default_length: int):
        self.prompt, settings, visuals_of, self.doc_id, self.task, split = request.args
        self.path, self.unreadable = _video(visuals_of, task_dict[self.task][split][self.doc_id])
        self.longest = int(settings.get("max_new_tokens") or default_length)
        self.video = os.path.relpath(self.path, job.videos)
        self.size = self.path.stat().st_size if self.path.exists() else 0

    def key(self, job: AnswerJob) -> str:
        """Return what its answer at the levels of `job` is known by."""
        return answer_key(job, self.video, self.size, self.prompt, self.longest)

    def answered(self, job: AnswerJob, answer: str, visual_tokens: int, unreadable: str | None = None) -> GivenAnswer:
        """Return the record of this question with what was said at the levels of `job`."""
        return GivenAnswer(
            self.task,
            self.doc_id,
            self.video,
            self.prompt,
            answer,
            job.weights,
            self.key(job),
            visual_tokens,
            unreadable,
        )


def _video(visuals_of, document: dict) -> tuple[Path, str | None]:
    """Return the file that a question is about, and what is wrong if the task itself does not find it."""
    try:
        visuals = visuals_of(document)
    except (SystemExit, FileNotFoundError) as error:  # how lmms-eval's tasks say that a video is missing
        named = re.search(r"/[^'\"]*?\.(mp4|mkv|webm|avi|mov)", str(error), re.IGNORECASE)
        return Path(named[0] if named else "missing"), str(error)
    if len(visuals) != 1 or not isinstance(visuals[0], str):
        raise ValueError(f"one video file per question is what this model is for, not {visuals!r}")
    return Path(visuals[0]), None


class FinetunedModel(lmms):
    """One finetuned run, which lmms-eval asks."""

    is_simple = True

    def __init__(self, **_: object):
        super().__init__()
        self.job = AnswerJob.read(Path(os.environ[JOB_VARIABLE]))
        self.model, self.prompt_builder = None, None
        if not self.job.recorded:
            where = provenance(device_name())
            where["versions"]["lmms-eval"] = version("lmms-eval")
            environment_file(self.job).write_text(json.dumps(where, indent=2))

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Return an answer for each request, from the file of answers where these weights gave it before.

        Greedy, until the model ends its turn or the task's `max_new_tokens`; `until` is not used, as by the LLaVA
        models of lmms-eval.
        """
        questions = [Asked(self.job, r, self.task_dict, self.job.max_new_tokens) for r in requests]
        levels = self.job.levels
        given = [self._given_before(job, questions) for job in levels]
        missing = [[q for q in questions if (q.task, q.doc_id) not in known] for known in given]
        if missing[-1] and self.job.recorded:
            first = missing[-1][0]
            raise ValueError(f"{len(missing[-1])} questions were not answered, first {first.task} {first.doc_id}")
        for level, answer in self._answers(levels, missing):
            append_line(Path(levels[level].answers), vars(answer))
            given[level][answer.task, answer.doc_id] = answer
        return [given[-1][question.task, question.doc_id].answer for question in questions]

    def _given_before(self, job: AnswerJob, questions: list[Asked]) -> dict[tuple[str, int], GivenAnswer]:
        """Return the answers that these weights gave before at the levels of `job`."""
        known = read_answers(Path(job.answers), job.weights)
        given: dict[tuple[str, int], GivenAnswer] = {}
        for question in questions:
            before = known.get((question.task, question.doc_id))
            if before is not None and before.key == question.key(job) and (job.recorded or not before.unreadable):
                given[question.task, question.doc_id] = before
        return given

    def _answers(self, levels: list[AnswerJob], missing: list[list[Asked]]) -> Iterator[tuple[int, GivenAnswer]]:
        """Yield the answers that are `missing` at each level with its number, video by video, in the order in which
        videos first come."""
        videos: dict[tuple[Path, int], dict[int, list[Asked]]] = {}
        for level, questions in enumerate(missing):
            for question in questions:
                if question.unreadable:
                    yield level, question.answered(levels[level], "", 0, question.unreadable)
                else:
                    videos.setdefault((question.path, question.longest), {}).setdefault(level, []).append(question)
        if not videos:
            return
        read = decode_all(partial(self._read, self._image_size()), videos, AHEAD, AHEAD + 1)
        for video, frames in counted("answer", read, len(videos), "videos"):
            features = None if isinstance(frames, str) else self._seen(frames)
            for level, questions in videos[video].items():
                if features is None:
                    yield from ((level, question.answered(levels[level], "", 0, frames)) for question in questions)
                else:
                    yield from ((level, answer) for answer in self._about(features, levels[level], questions))

    def _read(
        self, side: int, decoder: DecoderProcess, video: tuple[Path, int]
    ) -> tuple[tuple[Path, int], np.ndarray | str]:
        """Return a video with its frames (T, side, side, 3) uint8, as in training, or with what is wrong."""
        rule, timeout = FrameRule(**self.job.rule), self.job.timeout
        try:
            return video, decoder.read(video[0], self.job.T, rule, timeout, lambda frame: resize(frame[None], side)[0])
        except VideoError as error:
            return video, f"{error.kind}: {error.detail}"

    @torch.inference_mode()
    def _seen(self, frames: np.ndarray) -> torch.Tensor:
        """Return the features of a video's frames, which serve any number of tokens."""
        model, _ = self._loaded()
        pixels = torch.from_numpy(np.ascontiguousarray(frames))[None].to(model.device)
        with new_tensors_on(model.device):
            return model.encode_images(pixels)

    @torch.inference_mode()
    def _about(self, features: torch.Tensor, job: AnswerJob, questions: list[Asked]) -> list[GivenAnswer]:
        """Return the answers to questions about one video at the tokens of `job`."""
        model, prompt = self._loaded()
        with new_tensors_on(model.device):
            reader, answers = PackedReader(model, prompt, model.project(features, job.V)), []
            for first in range(0, len(questions), PACKED_QUESTIONS):
                pack = questions[first : first + PACKED_QUESTIONS]
                texts = reader.generate([[prompt.question(question.prompt) for question in pack]], pack[0].longest)[0]
                for question, tokens in zip(pack, texts, strict=True):
                    answers.append(question.answered(job, prompt.answer_text(tokens), reader.visual_tokens))
        return answers

    def _image_size(self) -> int:
        config = VideoVLMConfig.from_pretrained(self.job.model, local_files_only=True)
        return config.vision_config.image_size

    def _loaded(self) -> tuple[torch.nn.Module, PromptBuilder]:
        """Return model and prompt, loaded when the first video that was not answered before needs them."""
        if self.model is None:
            folder = Path(self.job.model)
            # Packed questions need a mask of their own, which flash attention does not take.
            self.model = load_model(folder, self.job.V, "sdpa", PRECISIONS[self.job.precision]).eval()
            if torch.cuda.is_available():
                self.model = self.model.cuda()
            self.prompt_builder = PromptBuilder(AutoTokenizer.from_pretrained(folder, local_files_only=True))
        return self.model, self.prompt_builder

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refuse: none of the eight tasks asks for likelihoods."""
        raise NotImplementedError(f"{requests[0].task_name} asks for likelihoods; use a task of generate_until")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Refuse: none of the eight tasks has rounds."""
        raise NotImplementedError(f"{requests[0].task_name} has several rounds; use a task of generate_until")


SHOWN = 20


def leaves(tasks: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, task) of all tasks without subtasks in lmms-eval's nested dictionary."""
    for name, task in tasks.items():
        if isinstance(task, dict):
            yield from leaves(task)
        else:
            yield str(name), task


def found(task: Any, limit: int | None) -> dict[str, Any]:
    """Return questions and videos of a task, and the videos that are missing or empty."""
    documents = task.eval_docs_no_media
    asked = documents if limit is None else documents.select(range(min(limit, len(documents))))
    videos: dict[str, bool] = {}
    for document in asked:
        try:
            (name,) = task.doc_to_visual(document)
        except (SystemExit, FileNotFoundError) as error:  # how tasks say that a video is missing
            videos[str(error)] = False
            continue
        videos[name] = Path(name).exists() and Path(name).stat().st_size > 0
    missing = [name for name, there in videos.items() if not there]
    return {"questions": len(documents), "videos": len(videos), "missing": len(missing), "first": missing[:SHOWN]}


def main() -> None:
    parser = ArgumentParser(description="Make lmms-eval fetch the data sets of tasks, and count what is there.")
    parser.add_argument("--tasks", required=True, help="names of lmms-eval, separated by commas")
    parser.add_argument("--include-path", help="folder with task files of your own")
    parser.add_argument("--limit", type=int, help="questions whose videos are looked for, per task")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    manager = TaskManager("WARNING", include_path=given.include_path)
    tasks = get_task_dict(given.tasks.split(","), manager, "simple")
    given.output.write_text(json.dumps({name: found(task, given.limit) for name, task in leaves(tasks)}, indent=2))


if __name__ == "__main__":
    main()
