rule figures:
    input:
        f"{RESULTS}/figures",


rule draw_figures:
    input:
        RUN_TABLE,
        FRONTIER,
        LAWS,
    output:
        report(
            directory(f"{RESULTS}/figures"),
            patterns=["{figure}.png"],
            category="Figures",
            labels={"figure": "{figure}"},
            caption=CAPTIONS,
        ),
    log:
        f"{RESULTS}/logs/figures.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        **resources.cpu_job(SITE),
    params:
        recipe=recipes.frontier_recipe(STUDY),
    message:
        "draw the figures"
    shell:
        script("figures.py") + " > {log} 2>&1"
