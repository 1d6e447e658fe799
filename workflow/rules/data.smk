# Real videos are looked into side by side, for hours where there are many; one that is stopped goes on where it was.
LLAVA = STUDY.data.llava if STUDY.data.source == "llava" else None


rule data:
    input:
        expand(f"{RESULTS}/data/{{split}}/manifest.json", split=STUDY.data.splits()),


rule prepare_split:
    input:
        lambda wildcards: STUDY.data.annotation_files(wildcards.split),
    output:
        manifest=f"{RESULTS}/data/{{split}}/manifest.json",
    log:
        f"{RESULTS}/logs/data-{{split}}.log",
    wildcard_constraints:
        split="train|test|align",
    conda:
        "../../envs/train.yaml"
    threads: 16 if LLAVA else 1
    resources:
        **resources.cpu_job(SITE, hours=48 if LLAVA else 0, memory=16 if LLAVA else 0),
    params:
        recipe=lambda wildcards: recipes.data_recipe(STUDY, wildcards.split),
    message:
        "videos and questions: {wildcards.split}"
    shell:
        script("prepare_data.py") + " --split {wildcards.split} --processes {threads} > {log} 2>&1"
