rule data:
    input:
        expand(f"{RESULTS}/data/{{split}}/manifest.json", split=["train", "test"]),


rule prepare_split:
    output:
        manifest=f"{RESULTS}/data/{{split}}/manifest.json",
    log:
        f"{RESULTS}/logs/data-{{split}}.log",
    wildcard_constraints:
        split="train|test|align",
    conda:
        "../../envs/train.yaml"
    resources:
        **resources.cpu_job(SITE),
    params:
        recipe=lambda wildcards: recipes.data_recipe(STUDY, wildcards.split),
    message:
        "videos and questions: {wildcards.split}"
    shell:
        script("prepare_data.py") + " --split {wildcards.split} --processes {threads} > {log} 2>&1"
