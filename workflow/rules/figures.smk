# A rule for every figure that applies to the study: `snakemake figure_isoflop` draws one of them again. Seconds of one
# core each, so never a cluster's job.


rule figures:
    input:
        FIGURE_FILES,


for FIGURE in FIGURES:

    rule:
        name:
            f"figure_{FIGURE.replace('-', '_')}"
        input:
            RUN_TABLE,
            files_read(FIGURE, STUDY, RESULTS, STUDY.main_target),
        output:
            report(
                f"{RESULTS}/figures/{FIGURE}.png",
                category="Figures",
                labels={"figure": FIGURE},
                caption=CAPTIONS,
            ),
            multiext(f"{RESULTS}/figures/{FIGURE}", ".svg", ".csv"),
        log:
            f"{RESULTS}/logs/figure-{FIGURE}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            fingerprint=fingerprints.frontier_fingerprint(STUDY),
            figure=FIGURE,
        message:
            "draw {params.figure}"
        shell:
            script("figures.py") + " --figure {params.figure:q}"
