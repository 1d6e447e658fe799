rule plan:
    input:
        [design.file for design in STUDY.sweep.designs.values() if getattr(design, "file", None)]
        if STUDY.trained
        else [],
    output:
        table=f"{RESULTS}/plan.csv",
        page=f"{RESULTS}/plan.md",
    log:
        f"{RESULTS}/logs/plan.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        recipe=recipes.study_recipe(STUDY),
        script=f"{workflow.basedir}/scripts/plan.py",
        files=CONFIGFILES,
        overrides=json.dumps(OVERRIDES),
    message:
        "plan the runs"
    shell:
        "python {params.script:q} --configfile {params.files:q} --set {params.overrides:q} > {log} 2>&1"
