# All figures in one process, over the same models. `vlmfrontier figure star` draws one of them again.


rule figures:
    """all figures"""
    input:
        FIGURE_FILES,


rule draw_figures:
    input:
        RUN_TABLE,
        sorted({file for name in FIGURES for file in files_read(name, STUDY, RESULTS, STUDY.main_target)}),
    output:
        [
            report(
                f"{RESULTS}/figures/{name}.png",
                category="Figures",
                labels={"figure": name},
                caption=caption_of(name),
            )
            for name in FIGURES
        ],
        expand(f"{RESULTS}/figures/{{figure}}.{{kind}}", figure=FIGURES, kind=["svg", "pdf", "csv"]),
    log:
        f"{RESULTS}/logs/figures.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.frontier_fingerprint(STUDY),
        figures=FIGURES,
    message:
        "draw the figures"
    shell:
        command("figure") + " {params.figures:q}"
