# A page to read and a page to play with: what a study found, for people. Seconds of one core each, so never a cluster's job.


rule report:
    input:
        f"{RESULTS}/report.html",


rule explorer:
    input:
        f"{RESULTS}/explorer.html",


rule write_report:
    input:
        RUN_TABLE,
        LAWS,
        FRONTIER,
        f"{RESULTS}/tables/forms.csv",
        f"{RESULTS}/tables/checks.csv",
        FIGURE_FILES,
        NEXT_RUNS,
    output:
        f"{RESULTS}/report.md",
        f"{RESULTS}/captions.rst",
        f"{RESULTS}/figures/index.md",
        report(
            f"{RESULTS}/report.html",
            category="Report",
            labels={"page": "report"},
            caption=CAPTIONS,
        ),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "write the report"
    shell:
        script("report.py")


rule write_explorer:
    input:
        RUN_TABLE,
        LAWS,
        FRONTIER,
    output:
        report(
            f"{RESULTS}/explorer.html",
            category="Report",
            labels={"page": "explorer"},
            caption=CAPTIONS,
        ),
    log:
        f"{RESULTS}/logs/explorer.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "make the explorer"
    shell:
        script("explorer.py")
