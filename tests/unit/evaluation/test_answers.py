"""Answers in a pack equal answers alone; the control shows other videos; nothing depends on the batch size."""

import json

import numpy as np
import pytest
import torch

from vlmfrontier.data.frames import FrameReader
from vlmfrontier.evaluation.evaluate import KINDS, answer_all, group_by_video, show_wrong_videos
from vlmfrontier.models.build import build_model, digits_tokenizer
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.vision import normalise
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.models import ModelsConfig

FRAMES, TOKENS = 3, 4


@pytest.fixture(scope="module")
def tokenizer():
    return digits_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    model = build_model(ModelsConfig(start=None), "xs", tokenizer, TOKENS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture(scope="module")
def groups(small_results):
    return group_by_video(json.loads((small_results / "data/test/questions.json").read_text()))


def answers(model, tokenizer, small_results, groups, batch_size=4):
    settings, V = EvaluateConfig(batch_size=batch_size, max_new_tokens=12), model.config.tokens_per_frame
    return answer_all(model, PromptBuilder(tokenizer), small_results / "data/test", groups, FRAMES, [V], settings)[V]


def test_answers_are_the_same_whatever_other_levels_are_tested_with_them(model, tokenizer, small_results, groups):
    """Bit by bit: log-likelihoods and texts."""
    settings, given = EvaluateConfig(batch_size=4, max_new_tokens=12), groups[:6]
    many = answer_all(
        model, PromptBuilder(tokenizer), small_results / "data/test", given, FRAMES, [1, TOKENS, 9], settings
    )
    assert list(many) == [1, TOKENS, 9]
    assert many[TOKENS] == answers(model, tokenizer, small_results, given)
    assert many[1] != many[TOKENS]


def alone(model, prompt, pixels, question) -> str | list[float]:
    """Answer one question by itself, with transformers' own generation or a plain forward pass."""
    ids = prompt.prefix(FRAMES * TOKENS) + prompt.question(question["question"])
    if KINDS[question["task"]] != "choice":
        given = torch.tensor([ids])
        out = model.generate(
            input_ids=given,
            pixel_values=pixels,
            attention_mask=torch.ones_like(given),
            max_new_tokens=12,
            do_sample=False,
        )
        return prompt.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    totals = []
    for option in question["options"]:
        answer = prompt.answer_tokens(question["question"], option)
        log_p = model(input_ids=torch.tensor([ids + answer]), pixel_values=pixels).logits[0].log_softmax(-1)
        totals.append(sum(float(log_p[len(ids) - 1 + i, t]) for i, t in enumerate(answer)))
    return totals


def test_frames_are_squeezed_to_the_size_of_the_vision_model(tokenizer, small_results, groups):
    """As in training: a published model wants other sizes than that of generated videos, 64 pixels."""
    torch.manual_seed(0)
    vision = {"hidden_size": 16, "heads": 2, "layers": 1, "image_size": 28, "patch_size": 4}
    published = build_model(ModelsConfig(start=None, vision=vision), "xs", tokenizer, TOKENS).eval()
    given = groups[:2]
    told = answers(published, tokenizer, small_results, given)
    assert {record["id"] for records in told.values() for record in records} == {q["id"] for _, qs in given for q in qs}


def test_packed_answers_equal_those_asked_alone(model, tokenizer, small_results, groups):
    groups = groups[:4]
    together = {r["id"]: r for rs in answers(model, tokenizer, small_results, groups).values() for r in rs}
    prompt, reader = PromptBuilder(tokenizer), FrameReader(small_results / "data/test")
    texts = 0
    with torch.inference_mode():
        for video, questions in groups:
            pixels = normalise(torch.from_numpy(np.ascontiguousarray(reader.read(video, FRAMES))))[None]
            for question in questions:
                record, expected = together[question["id"]], alone(model, prompt, pixels, question)
                if isinstance(expected, list):
                    # Rounded to four digits in the record; sums of a few float32 terms of size ten.
                    assert record["log_likelihoods"] == pytest.approx(expected, abs=1e-3)
                else:
                    assert " ".join(record["answer"].split()) == " ".join(expected.split())
                    texts += len(expected) > 0
    assert texts > 5  # the random model does say something


def test_the_batch_size_changes_no_answer(model, tokenizer, small_results, groups):
    a, b = (answers(model, tokenizer, small_results, groups, size) for size in (1, 10))
    assert {t: [r["answer"] for r in rs] for t, rs in a.items()} == {
        t: [r["answer"] for r in rs] for t, rs in b.items()
    }


def test_every_question_is_answered_once(model, tokenizer, small_results, groups):
    given = answers(model, tokenizer, small_results, groups)
    assert sorted(given) == sorted(KINDS)
    assert all(len({r["id"] for r in records}) == len(records) == 10 for records in given.values())
    assert all(r["shown"] == r["video"] for records in given.values() for r in records)


def test_the_control_shows_every_question_another_video(groups):
    wrong = show_wrong_videos(groups, 6)
    assert len(wrong) == 6
    assert all(shown != questions[0]["video"] for shown, questions in wrong)
    assert {shown for shown, _ in wrong} == {video for video, _ in groups[:6]}
