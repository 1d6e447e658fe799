# Measured costs, where the study has some: a new measurement moves the frontier.
COST_TABLE = [STUDY.cost.table.path] if STUDY.cost.table else []


rule frontier:
    """the best configuration for each budget and n"""
    input:
        FRONTIER,


rule checks:
    """what the laws predict of runs held out"""
    input:
        f"{RESULTS}/tables/checks.csv",


# The frontier and every table of it in one process, over the same models.
rule:
    name:
        "search_frontier" if FRONTIER else "check_laws"
    input:
        RUN_TABLE,
        LAWS,
        COST_TABLE,
        f"{RESULTS}/tables/forms.csv",
    output:
        SEARCHED,
        [file for name in FRONTIER_TABLES for file in table(name)],
        table("checks"),
        NEXT_RUNS,
    log:
        f"{RESULTS}/logs/frontier.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
        tables=TABLES,
    message:
        "search the frontier, and check"
    shell:
        command("frontier", show=True) + " --tables {params.tables:q}"


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
            command("frontier", show=True) + " --tables next_sweep"

else:

    rule next_runs:
        input:
            f"{RESULTS}/next_runs.csv",
