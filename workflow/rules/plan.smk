# Runs whatever is up to date, so that its end, which says what the study costs and how far it is, is always printed.
rule plan:
    """what every run costs, and how far it is"""
    input:
        f"{RESULTS}/plan.md",
    log:
        f"{RESULTS}/logs/planned.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    shell:
        ": > {log:q}"


rule write_plan:
    input:
        [design.file for design in STUDY.sweep.designs.values() if getattr(design, "file", None)]
        if STUDY.trained
        else [],
    output:
        table=f"{RESULTS}/plan.csv",
        page=f"{RESULTS}/plan.md",
    log:
        f"{RESULTS}/logs/plan.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.study_fingerprint(STUDY),
        files=CALL.files,
        overrides=json.dumps(CALL.changes),
        site=site_option(SITE_FILE),
    message:
        "plan the runs"
    shell:
        kept(
            "python -m vlmfrontier plan --configfile {params.files:q} --set {params.overrides:q} {params.site}"
            + ("" if CALL.results == "results" else f" --results {shlex.quote(CALL.results)}"),
            show=True,
        )


# Reads and makes no file, so that a Snakemake under way does not lock it out; what it says is printed at every end.
rule status:
    """how far every run is, while others run"""
    localrule: True
