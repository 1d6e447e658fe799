"""Where a study says its sets come from: mistakes are told at once, nothing that is prepared depends on it."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import data_fingerprint, fetch_data_fingerprint

ROOT = Path(__file__).parents[3]
HUB = {"dataset": "open/set", "annotations": ["*_qa*.json*"], "videos": ["*/videos_*.tar.gz"]}


def study_of(*parts: dict, fetch: bool = True, **source) -> Study:
    """Return a study of one set that is fetched as `parts` say."""
    made = {"name": "made", "annotations": "sets/made.json", "videos": "sets/made", "count": 8, "fetch": list(parts)}
    rows = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 8}]}
    return load_study(
        [ROOT / "config.yaml"],
        {
            "study": "fetched",
            "data": {"source": "llava", "llava": {"fetch": fetch, "sources": [{**made, **source}]}},
            "evaluate": {"harness": "lmms-eval"},
            "sweep": {"designs": {"star": None, "isoflop": None, "repeats": None, "few": rows}},
        },
    )


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"videos": ["*"]}, "write either `dataset` or `urls`"),
        ({"dataset": "open/set"}, "say which files"),
        ({"dataset": "set", "videos": ["*"]}, "write owner/name of a data set"),
        ({**HUB, "into": "../elsewhere"}, "write a folder inside the source's `videos`"),
        ({"urls": [{"url": "ftp://x/y.zip"}], "videos": ["*"]}, "write https://, a host and a file"),
        ({"urls": [{"url": "https://x/y.zip", "sha256": "12"}], "videos": ["*"]}, "write 64 hexadecimal digits"),
        (
            {"urls": [{"url": "https://x/y.zip"}], "videos": ["*"], "revision": "main"},
            "`revision` belongs to `dataset`",
        ),
    ],
)
def test_a_mistake_in_fetch_is_told_before_anything_runs(part, message):
    with pytest.raises(UserError, match=r"study fetched: data\.llava\.sources\.fetch") as error:
        study_of(part)
    assert message in str(error.value)


def test_fetch_changes_nothing_that_is_prepared_or_trained():
    with_fetch, without = study_of(HUB, by_hand="ask"), study_of()
    assert data_fingerprint(with_fetch, "train") == data_fingerprint(without, "train")
    assert with_fetch.data.annotation_files("train") == []
    assert without.data.annotation_files("train") == ["sets/made.json"]
    assert fetch_data_fingerprint(with_fetch, "train") != fetch_data_fingerprint(without, "train")


def test_a_study_may_have_its_sets_in_place_already():
    there = study_of(HUB, fetch=False)
    assert there.data.fetched("train") == []
    assert there.data.annotation_files("train") == ["sets/made.json"]
    assert data_fingerprint(there, "train") == data_fingerprint(study_of(HUB), "train")


PUBLISHED = {
    "lmms-lab/LLaVA-Video-178K": {
        "0_30_s_academic_v0_1/0_30_s_academic_v0_1_cap_processed.json": "LLaVA-Video-178K",
        "0_30_s_academic_v0_1/0_30_s_academic_oe_v0_1_qa_processed.json": "LLaVA-Video-178K",
        "30_60_s_academic_v0_1/30_60_s_academic_mc_v0_1_qa_processed.json": "LLaVA-Video-178K",
        "2_3_m_youtube_v0_1/2_3_m_youtube_v0_1_videos_98.tar.gz": "LLaVA-Video-178K",
        "30_60_s_activitynetqa/30_60_s_activitynetqa_oe_qa_processed.json": "ActivityNet-QA",
        "30_60_s_activitynetqa/30_60_s_activitynetqa_videos_1.tar.gz": "ActivityNet-QA",
        "30_60_s_nextqa/30_60_s_nextqa_oe_qa_processed.json": "Next-QA",
        "30_60_s_nextqa/30_60_s_nextqa_mc_qa_processed.json": "Next-QA",
        "30_60_s_nextqa/30_60_s_nextqa_videos_2.tar.gz": "Next-QA",
        "0_30_s_perceptiontest/0_30_s_perceptiontest_mc_qa_processed.json": "PerceptionTest",
        "llava_hound/sharegptvideo_qa_255k_processed.json": "LLaVA-Hound",
        "README.md": None,
        "gpt4o_caption_prompt/any.json": None,
    },
    "ShareGPTVideo/train_video_and_instruction": {
        "train_300k/chunk_15.tar.gz": "LLaVA-Hound",
        "video_instruction/train/qa/chatgpt_qa_900k.jsonl": None,
    },
}
"""Names of published files that public code uses, with the set of the paper that each belongs to."""


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_patterns_of_the_papers_study_part_the_files_between_its_sets(dataset):
    sources = load_study([ROOT / "workflow/studies/paper.yaml"]).data.llava.sources
    for file, wanted in PUBLISHED[dataset].items():
        takers = [
            source.name
            for source in sources
            for part in source.fetch
            for pattern in [*part.annotations, *part.videos]
            if part.dataset == dataset and fnmatchcase(file, pattern)
        ]
        assert takers == ([wanted] if wanted else []), file
