# The pictures of stage 1 are needed only where the study trains it.
NEEDED_DATA = [file for split, file in FETCHED_DATA.items() if split == "train" or STUDY.models.start is None]


# All that needs a network: published models, training sets, benchmarks, as far as the study has any. Jobs have none.
rule fetch:
    """all that needs a network: models, videos, benchmarks"""
    input:
        [FETCHED] if STUDY.models.pretrained else [],
        NEEDED_DATA,
        [f"{RESULTS}/data/benchmarks.json"] if STUDY.evaluate.harness == "lmms-eval" else [],
    localrule: True
