"""The eight benchmarks of the paper with made questions about made videos, laid out as lmms-eval's own tasks want them.

lmms-eval runs its real tasks: their YAML, prompts, parsing, judging and aggregation. Only the data sets are ours: a
data set `org/name` is a folder of that path in the working directory, which the `datasets` library prefers to the hub,
and videos lie where the tasks look for them below the home of Hugging Face's libraries.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast, SiglipVisionConfig

from tests.made_videos import MadeVideo, draw, encode
from vlmfrontier.evaluation.lmms.job import Output
from vlmfrontier.models.chat import VIDEO_TAG
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.video_vlm import VideoVLM, VideoVLMConfig
from vlmfrontier.models.vision import normalise
from vlmfrontier.tasks import MVBENCH

LMMS_EVAL = Path(
    os.environ.get("VLMFRONTIER_LMMS_EVAL_PYTHON", Path(__file__).parents[1] / ".venv-lmms-eval/bin/python")
)
"""Python of the environment of lmms-eval."""
NO_LMMS_EVAL = "no environment with lmms-eval; `make lmms-eval-env` builds it"
needs_lmms_eval = pytest.mark.skipif(not LMMS_EVAL.exists(), reason=NO_LMMS_EVAL)
QUESTIONS = 4
"""Questions of every task; of MVBench two for each of its 20 parts."""
VIDEOS = 2
"""Videos that they are about, in turn."""
ANSWER = "A"
"""What the made model says to everything."""
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}<eos>{% endif %}{% endfor %}"
)
TEMPLATE += "{% if add_generation_prompt %}<assistant>{% endif %}"
MVBENCH_FOLDERS = {
    "object_interaction": "star/Charades_segment",
    "action_sequence": "star/Charades_segment",
    "action_prediction": "star/Charades_segment",
    "action_localization": "sta/sta_video_segment",
    "moving_count": "clevrer/video_validation",
    "fine_grained_pose": "nturgbd_convert",
    "character_order": "perception/videos",
    "object_shuffle": "perception/videos",
    "egocentric_navigation": "vlnqa",
    "moving_direction": "clevrer/video_validation",
    "episodic_reasoning": "tvqa/video_fps3_hq_segment",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "scene_transition": "scene_qa/video",
    "state_change": "perception/videos",
    "moving_attribute": "clevrer/video_validation",
    "action_antonym": "ssv2_video_mp4",
    "unexpected_action": "FunQA_test/test",
    "counterfactual_inference": "clevrer/video_validation",
    "object_existence": "clevrer/video_validation",
    "action_count": "perception/videos",
}


def write_benchmarks(work: Path, home: Path) -> None:
    """Write the data sets into `work`, which must be the working directory of lmms-eval, their videos into `home`."""
    names = [f"made_{i}" for i in range(VIDEOS)]
    for folder, ending in _video_folders():
        for name in names:
            _video(home / folder / f"{ending}{name}.mp4", names.index(name))
    numbers = range(QUESTIONS)
    asked = [
        {"video_name": names[i % VIDEOS], "question": f"What is shown {i}", "answer": f"thing {i}"} for i in numbers
    ]
    _data_set(work, "lmms-lab/VideoDetailDescription", {"default": ("test", asked)})
    _data_set(
        work,
        "lmms-eval/ActivityNetQA",
        {"default": ("test", [{**q, "question_id": f"q{i}", "type": "3"} for i, q in enumerate(asked)])},
    )
    pairs = [{**q, "question_1": q["question"], "question_2": "None"} for q in asked]
    pairs += [{**q, "question_1": "None", "question_2": q["question"] + " again"} for q in asked[:VIDEOS]]
    _data_set(
        work,
        "lmms-eval/VideoChatGPT",
        # One pair a video: lmms-eval knows pairs by their video.
        {"Generic": ("test", asked), "Temporal": ("test", asked[:2]), "Consistency": ("test", pairs[:2] + pairs[4:])},
    )
    _data_set(work, "longvideobench/LongVideoBench", {"default": ("validation", [_lvb(i, names) for i in numbers])})
    _data_set(
        work, "lmms-eval/PerceptionTest_Val", {"mc_question_val": ("validation", [_pt(i, names) for i in numbers])}
    )
    choice = [{"video": f"{names[i]}.mp4", "question": "Which?", "candidates": ["x", "y"]} for i in range(2)]
    parts = {part: ("train", [{**c, "answer": "xy"[i]} for i, c in enumerate(choice)]) for part in MVBENCH}
    _data_set(work, "OpenGVLab/MVBench", parts)
    _data_set(work, "lmms-eval/Video-MME", {"default": ("test", [_vmme(i, names) for i in numbers])})
    _data_set(work, "lmms-eval/NExTQA", {"MC": ("test", [_nqa(i, names) for i in numbers])})


OWN_TASK = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: QUESTIONS}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.video
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
process_results: !function utils.scored
metric_list: [{metric: share, aggregation: mean, higher_is_better: true}]
"""
OWN_FUNCTIONS = """
def video(document):
    return [document["video"]]

def scored(document, answers):
    return {"share": 7.0 if answers[0] == document["answer"] else 0.0}
"""


def write_own_task(folder: Path, videos: Path) -> None:
    """Write a task as users would, three questions about `videos`, for lmms-eval's `include_path`."""
    folder.mkdir(parents=True)
    rows = [
        {"question": f"Which option is best? {i}", "answer": ANSWER, "video": str(videos / f"made_{i % VIDEOS}.mp4")}
        for i in range(3)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.yaml").write_text(OWN_TASK.replace("QUESTIONS", str(folder / "questions.jsonl")))
    (folder / "utils.py").write_text(OWN_FUNCTIONS)


def _video_folders() -> list[tuple[str, str]]:
    """Return (folder, begin of the file's name) of every task's videos."""
    plain = ["videochatgpt/Test_Videos", "datasets/longvideobench/videos", "perceptiontest_val/videos"]
    plain += ["videomme/data", "nextqa/NExTVideo", *(f"mvbench_video/{f}" for f in set(MVBENCH_FOLDERS.values()))]
    return [*((folder, "") for folder in plain), ("activitynetqa/all_test", "v_")]


def _video(path: Path, number: int) -> None:
    video = MadeVideo(path.name, 80, 60, 12, 4, colour=("red", "blue")[number])
    encode(list(draw(video)), path, video)


def _data_set(work: Path, name: str, configurations: dict[str, tuple[str, list[dict]]]) -> None:
    folder = work / name
    folder.mkdir(parents=True)
    lines = ["---", "configs:"]
    for configuration, (split, rows) in configurations.items():
        (folder / f"{configuration}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines += [f"- config_name: {configuration}", "  data_files:", f"  - split: {split}"]
        lines += [f"    path: {configuration}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def _lvb(i: int, names: Sequence[str]) -> dict:
    options = {f"option{k}": ("x", "y", "z")[k] if k < 3 else "N/A" for k in range(5)}
    about = {"id": f"l{i}", "video_path": f"{names[i % VIDEOS]}.mp4", "question": f"Which {i}?", "duration": 3.0}
    return {**about, **options, "correct_choice": i % 2, "duration_group": 15 * i, "question_category": "S2E"}


def _pt(i: int, names: Sequence[str]) -> dict:
    about = {"video_name": names[i % VIDEOS], "question": f"Which {i}?", "options": ["x", "y", "z"]}
    return {**about, "answer_id": i % 2, "question_id": i, "area": "a", "reasoning": "r", "tag": ["t"]}


def _vmme(i: int, names: Sequence[str]) -> dict:
    about = {"videoID": names[i % VIDEOS], "question": f"Which {i}?", "options": ["A. x", "B. y", "C. z", "D. w"]}
    kind = {"domain": "Knowledge", "sub_category": "Law", "task_type": "Counting Problem", "duration": "short"}
    return {**about, **kind, "answer": "AB"[i % 2], "question_id": f"{i}"}


def _nqa(i: int, names: Sequence[str]) -> dict:
    return {
        "video": names[i % VIDEOS],
        "question": f"Which {i}",
        "answer": i % 2,
        **{f"a{k}": "vwxyz"[k] for k in range(5)},
    }


def made_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer, which can write any question, with a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<eos>", VIDEO_TAG, "<user>", "<assistant>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Which option is shown? Answer with the letter."], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", additional_special_tokens=special[2:]
    )
    fast.chat_template = TEMPLATE
    return fast


def made_model(tokenizer: PreTrainedTokenizerFast, frames: int, tokens_per_frame: int) -> VideoVLM:
    """Return a tiny model, trained for some steps to say `ANSWER` to whatever it is asked about whatever it sees."""
    torch.manual_seed(0)
    config = VideoVLMConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=64,
            patch_size=16, vision_use_head=False,
        ),
        text_config=LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            vocab_size=len(tokenizer), tie_word_embeddings=True, bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_position_embeddings=2048,
        ),
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TAG),
        tokens_per_frame=tokens_per_frame,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model, prompt = VideoVLM(config), PromptBuilder(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    for step in range(80):
        pixels = normalise(torch.from_numpy(rng.integers(0, 255, (1, frames, 64, 64, 3), np.uint8)))
        words = "Which option is best? Answer with the letter directly. " * (1 + step % 5)
        ids, labels = prompt.turn(words + str(step), ANSWER)
        prefix = prompt.prefix(frames * tokens_per_frame)
        loss = model(
            input_ids=torch.tensor([prefix + ids]),
            pixel_values=pixels,
            labels=torch.tensor([[-100] * len(prefix) + labels]),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def made_judge(request: dict, _: int) -> str:
    """Rate by the number that a question ends with: that score, and yes if it is odd."""
    number = int(re.search(r"What is shown (\d)", request["messages"][-1]["content"])[1])
    return f"{{'pred': '{'yes' if number % 2 else 'no'}', 'score': {number}}}"


def recorded(folder: Path) -> dict:
    """Return what lmms-eval left in `folder`, without what is of no use or differs from run to run."""
    output = Output(folder)
    leaves = output.results["n-samples"]
    unused = {"doc_hash", "token_counts", "input", "input_media"}
    samples = {leaf: [{k: v for k, v in s.items() if k not in unused} for s in output.samples(leaf)] for leaf in leaves}
    submissions = {
        path.name.rsplit("_", 1)[0]: json.loads(path.read_text()) for path in folder.glob("submissions/*.json")
    }
    kept = {key: output.results[key] for key in ("results", "n-samples", "lmms_eval_version")}
    return {**kept, "samples": samples, "submissions": submissions}


def write_recorded(record: dict, folder: Path) -> None:
    """Write files as lmms-eval leaves them, out of what `recorded` kept of them."""
    (folder / "submissions").mkdir(parents=True)
    results = {key: record[key] for key in ("results", "n-samples", "lmms_eval_version")}
    (folder / "20260101_000000_results.json").write_text(json.dumps(results))
    for leaf, samples in record["samples"].items():
        lines = "".join(json.dumps(sample) + "\n" for sample in samples)
        (folder / f"20260101_000000_samples_{leaf}.jsonl").write_text(lines)
    for name, content in record["submissions"].items():
        (folder / "submissions" / f"{name}_2026-01-01.json").write_text(json.dumps(content))
