rule pretrain:
    """the starting models"""
    input:
        expand(
            f"{RESULTS}/models/{{language}}/report.json",
            language=STUDY.models.language,
        ),


rule pretrain_vision:
    output:
        f"{RESULTS}/models/vision/report.json",
    log:
        f"{RESULTS}/logs/pretrain-vision.log",
    conda:
        "../../envs/train.yaml"
    resources:
        **pretraining_job("vision"),
        force=forcing("models/vision/report.json", "pretrain_vision"),
    params:
        fingerprint=fingerprints.vision_fingerprint(STUDY),
    message:
        "pretrain the vision model"
    shell:
        command("models.py") + " vision {resources.force}"


rule pretrain_language:
    output:
        f"{RESULTS}/models/language/{{language}}/report.json",
    log:
        f"{RESULTS}/logs/pretrain-language-{{language}}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        **pretraining_job("language"),
        force=forcing("models/language/{language}/report.json", "pretrain_language"),
    params:
        fingerprint=lambda wildcards: fingerprints.language_fingerprint(STUDY, wildcards.language),
    message:
        "pretrain the language model {wildcards.language}"
    shell:
        command("models.py") + " language --language {wildcards.language:q} {resources.force}"


rule encode_frames:
    input:
        vision=f"{RESULTS}/models/vision/report.json",
        videos=f"{RESULTS}/data/align/manifest.json",
    output:
        f"{RESULTS}/data/align/features.npy",
    log:
        f"{RESULTS}/logs/encode-frames.log",
    conda:
        "../../envs/train.yaml"
    resources:
        **pretraining_job("encode"),
    message:
        "encode the frames of stage 1"
    shell:
        command("models.py") + " encode"


rule align:
    input:
        vision=f"{RESULTS}/models/vision/report.json",
        language=f"{RESULTS}/models/language/{{language}}/report.json",
        features=f"{RESULTS}/data/align/features.npy",
    output:
        f"{RESULTS}/models/{{language}}/report.json",
    log:
        f"{RESULTS}/logs/align-{{language}}.log",
    wildcard_constraints:
        language="(?!vision$)[^/]+",
    priority: start_priority(lambda wildcards: [run for run in RUNS.values() if run.language == wildcards.language])
    conda:
        "../../envs/train.yaml"
    resources:
        **pretraining_job("align"),
        force=forcing("models/{language}/report.json", "align"),
    params:
        fingerprint=lambda wildcards: fingerprints.align_fingerprint(STUDY, wildcards.language),
    message:
        "stage 1 of the language model {wildcards.language}"
    shell:
        command("models.py") + " align --language {wildcards.language:q} {resources.force}"
