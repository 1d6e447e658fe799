rule finetune:
    """all trainings"""
    input:
        expand(f"{RESULTS}/runs/{{run}}/finetuned.json", run=RUNS),


rule evaluate:
    """all trainings and their tests"""
    input:
        expand(f"{RESULTS}/runs/{{run}}/result.json", run=RUNS),


FORCED_FINETUNING = forcing("runs/{run}/finetuned.json", "finetune_run", "finetune_run_on_nodes")


rule finetune_run:
    input:
        data=f"{RESULTS}/data/train/manifest.json",
        start=starting_model,
    output:
        f"{RESULTS}/runs/{{run}}/finetuned.json",
    log:
        f"{RESULTS}/runs/{{run}}/finetune.log",
    priority: run_priority()
    group:
        RUN_GROUP
    conda:
        "../../envs/train.yaml"
    resources:
        **jobs.training_job(SITE, placement, FORCED_FINETUNING),
    params:
        fingerprint=lambda wildcards: fingerprints.finetune_fingerprint(STUDY, planned(wildcards)),
    message:
        "finetune {wildcards.run}"
    shell:
        command("finetune.py", warm=True) + " --run {wildcards.run:q} {resources.layout}"


ON_NODES = [key for key, placed in PLACEMENTS.items() if placed.nodes > 1]

if ON_NODES:

    use rule finetune_run as finetune_run_on_nodes with:
        wildcard_constraints:
            run="|".join(map(re.escape, ON_NODES)),
        resources:
            **jobs.training_job_on_nodes(SITE, placement, FORCED_FINETUNING),

    ruleorder: finetune_run_on_nodes > finetune_run


if STUDY.evaluate.harness == "packed":

    rule evaluate_run:
        input:
            data=f"{RESULTS}/data/test/manifest.json",
            finetuned=f"{RESULTS}/runs/{{run}}/finetuned.json",
        output:
            f"{RESULTS}/runs/{{run}}/result.json",
        log:
            f"{RESULTS}/runs/{{run}}/evaluate.log",
        priority: run_priority(ahead=1)
        group:
            RUN_GROUP
        conda:
            "../../envs/evaluate.yaml"
        resources:
            **evaluation_job(),
        params:
            fingerprint=fingerprints.evaluate_fingerprint(STUDY),
        message:
            "evaluate {wildcards.run}"
        shell:
            command("evaluate.py", warm=True) + " --run {wildcards.run:q}"

else:

    rule answer_run:
        input:
            benchmarks=f"{RESULTS}/data/benchmarks.json",
            finetuned=f"{RESULTS}/runs/{{run}}/finetuned.json",
        output:
            f"{RESULTS}/runs/{{run}}/answered.json",
        log:
            f"{RESULTS}/runs/{{run}}/answer.log",
        priority: run_priority(ahead=1)
        conda:
            "../../envs/evaluate.yaml"
        resources:
            **evaluation_job(),
        params:
            fingerprint=fingerprints.answer_fingerprint(STUDY),
        message:
            "answer the benchmarks with {wildcards.run}"
        shell:
            command("answer.py") + " --run {wildcards.run:q}"

    rule evaluate_run:
        input:
            f"{RESULTS}/runs/{{run}}/answered.json",
        output:
            f"{RESULTS}/runs/{{run}}/result.json",
        log:
            f"{RESULTS}/runs/{{run}}/evaluate.log",
        priority: run_priority(ahead=2)
        localrule: STUDY.evaluate.lmms_eval.judge.local
        conda:
            "../../envs/evaluate.yaml"
        resources:
            **jobs.cpu_job(SITE, hours=lambda w: rating_hours(w.run), memory=16),
        params:
            fingerprint=fingerprints.evaluate_fingerprint(STUDY),
        message:
            "rate and score {wildcards.run}"
        shell:
            command("evaluate.py") + " --run {wildcards.run:q}"


rule collect:
    """the table of runs, runs.csv"""
    input:
        RUN_TABLE,


rule collect_results:
    input:
        results=RUN_RESULTS,
    output:
        RUN_TABLE,
    log:
        f"{RESULTS}/logs/collect.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.collect_fingerprint(STUDY),
    message:
        "collect the results"
    shell:
        command("collect", show=True)
