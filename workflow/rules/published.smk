# Published models: fetched once, then stage 1 for every pair of a vision and a language model that the sweep uses.
STARTS = {STUDY.models.start_name(run.language, run.vision): (run.language, run.vision) for run in RUNS.values()}
FETCHED = f"{RESULTS}/models/fetched.json"


# Local, since it needs the network, which nodes of a cluster may not have.
rule fetch_models:
    output:
        FETCHED,
    log:
        f"{RESULTS}/logs/fetch-models.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        fingerprint=fingerprints.fetch_fingerprint(STUDY),
    message:
        "fetch the models"
    shell:
        command("fetch") + " models"


rule pretrain:
    """the starting models"""
    input:
        expand(f"{RESULTS}/models/{{start}}/report.json", start=STARTS),


def stage_1(wildcards):
    """Return where stage 1 of a starting model is trained on the cluster; leaves with one line if it does not fit."""
    placed = plan_training(alignment(STUDY, *STARTS[wildcards.start], Path(RESULTS)), SITE)
    if placed.problem:
        sys.exit(f"error: stage 1 of {wildcards.start} does not fit {SITE_FILE}: {placed.problem}")
    return placed


rule align:
    input:
        data=f"{RESULTS}/data/align/manifest.json",
        models=FETCHED,
    output:
        f"{RESULTS}/models/{{start}}/report.json",
    log:
        f"{RESULTS}/logs/align-{{start}}.log",
    wildcard_constraints:
        start="|".join(map(re.escape, STARTS)),
    priority: start_priority(lambda w: [run for run in RUNS.values() if (run.language, run.vision) == STARTS[w.start]])
    conda:
        "../../envs/train.yaml"
    resources:
        **jobs.training_job(SITE, stage_1, forcing("models/{start}/report.json", "align")),
    params:
        fingerprint=lambda wildcards: fingerprints.align_fingerprint(STUDY, *STARTS[wildcards.start]),
        pair=lambda wildcards: "--language {} --vision={}".format(*map(shlex.quote, STARTS[wildcards.start])),
    message:
        "stage 1 of {wildcards.start}"
    shell:
        command("models.py") + " align {params.pair} {resources.layout}"
