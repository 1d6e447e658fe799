# Real videos are looked into side by side, for hours where there are many; one that is stopped goes on where it was.
LLAVA = STUDY.data.llava if STUDY.data.source == "llava" else None
PREPARING = 16 if LLAVA else 1

# What says that the sets of a split are fetched, where it has sets that are.
FETCHED_DATA = {
    split: f"{RESULTS}/data/{split}/fetched.json" for split in ("train", "align") if STUDY.data.fetched(split)
}


rule data:
    """the videos and questions of the study"""
    input:
        expand(f"{RESULTS}/data/{{split}}/manifest.json", split=STUDY.data.splits()),


# Local, since it needs the network, which nodes of a cluster may not have.
rule fetch_data:
    output:
        f"{RESULTS}/data/{{split}}/fetched.json",
    log:
        f"{RESULTS}/logs/fetch-data-{{split}}.log",
    wildcard_constraints:
        split="train|align",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        fingerprint=lambda wildcards: fingerprints.fetch_data_fingerprint(STUDY, wildcards.split),
    message:
        "fetch the data: {wildcards.split}"
    shell:
        command("fetch") + " data --split {wildcards.split:q}"


rule prepare_split:
    input:
        lambda wildcards: FETCHED_DATA.get(wildcards.split, []),
        lambda wildcards: STUDY.data.annotation_files(wildcards.split),
    output:
        manifest=f"{RESULTS}/data/{{split}}/manifest.json",
    log:
        f"{RESULTS}/logs/data-{{split}}.log",
    wildcard_constraints:
        split="train|test|align",
    conda:
        "../../envs/train.yaml"
    threads: PREPARING
    resources:
        **jobs.cpu_job(
            SITE,
            hours=lambda wildcards: jobs.preparation_hours(STUDY, wildcards.split, PREPARING),
            memory=16 if LLAVA else 0,
            cores=PREPARING,
        ),
    params:
        fingerprint=lambda wildcards: fingerprints.data_fingerprint(STUDY, wildcards.split),
    message:
        "videos and questions: {wildcards.split}"
    shell:
        command("data") + " --split {wildcards.split:q} --processes {threads}"
