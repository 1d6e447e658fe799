# A page to read and a page to play with: what a study found, for people. Seconds of one core each, so never a cluster's job.


rule report:
    """the report, with everything in it"""
    input:
        f"{RESULTS}/report.html",


rule explorer:
    """the page that answers budget questions"""
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
        directory(f"{RESULTS}/captions"),
        f"{RESULTS}/figures/index.md",
        [f"{RESULTS}/recommendation.yaml"] if FRONTIER else [],
        [
            report(
                f"{RESULTS}/{page}.html",
                category="Report",
                labels={"page": page},
                caption=caption_of(page),
            )
            for page in ("report", "explorer")
        ],
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
    message:
        "write report and explorer"
    shell:
        command("report")
