# Measured costs, where the study has some: a new measurement moves the frontier.
COST_TABLE = [STUDY.cost.table.path] if STUDY.cost.table else []


rule frontier:
    input:
        FRONTIER,


rule search_frontier:
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
    output:
        expand(f"{RESULTS}/frontier/{{target}}.csv", target=STUDY.targets()),
    log:
        f"{RESULTS}/logs/frontier.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "search the frontier"
    shell:
        script("frontier.py")


rule elasticity:
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
    output:
        table("elasticity"),
    log:
        f"{RESULTS}/logs/elasticity.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "elasticities"
    shell:
        script("elasticity.py")


rule checks:
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
        f"{RESULTS}/tables/forms.csv",
    output:
        table("checks"),
    log:
        f"{RESULTS}/logs/checks.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "three checks"
    shell:
        script("checks.py")


rule regret:
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
    output:
        table("regret"),
    log:
        f"{RESULTS}/logs/regret.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "price simpler rules"
    shell:
        script("regret.py")


rule vision_share:
    input:
        RUN_TABLE,
    output:
        table("vision_share"),
    log:
        f"{RESULTS}/logs/vision_share.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "share of the vision model"
    shell:
        script("vision_share.py")


rule suggest_runs:
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
    output:
        f"{RESULTS}/next_runs.csv",
    log:
        f"{RESULTS}/logs/next_runs.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "suggest the next runs"
    shell:
        script("next_runs.py", show=True)


if STUDY.trained:

    # No part of `all`: where the sweep is among the configuration files, every call would otherwise add runs to it.
    # Local, since a cluster's job would read this very file again.
    rule next_runs:
        input:
            f"{RESULTS}/next_runs.csv",
        output:
            f"{RESULTS}/next_runs.yaml",
        log:
            f"{RESULTS}/logs/next_sweep.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        message:
            "make a sweep of the suggested runs"
        shell:
            script("next_sweep.py", show=True)

else:

    rule next_runs:
        input:
            f"{RESULTS}/next_runs.csv",
