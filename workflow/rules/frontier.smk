rule frontier:
    input:
        FRONTIER,


rule search_frontier:
    input:
        RUN_TABLE,
        LAWS,
    output:
        expand(f"{RESULTS}/frontier/{{target}}.csv", target=STUDY.targets()),
    log:
        f"{RESULTS}/logs/frontier.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        recipe=recipes.frontier_recipe(STUDY),
    message:
        "search the frontier"
    shell:
        script("frontier.py") + " > {log} 2>&1"


rule elasticity:
    input:
        RUN_TABLE,
        LAWS,
    output:
        multiext(f"{RESULTS}/tables/elasticity", ".csv", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/elasticity.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        recipe=recipes.frontier_recipe(STUDY),
    message:
        "elasticities"
    shell:
        script("elasticity.py") + " > {log} 2>&1"


rule checks:
    input:
        RUN_TABLE,
        LAWS,
        f"{RESULTS}/tables/forms.csv",
    output:
        multiext(f"{RESULTS}/tables/checks", ".csv", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/checks.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        recipe=recipes.frontier_recipe(STUDY),
    message:
        "three checks"
    shell:
        script("checks.py") + " > {log} 2>&1"


rule regret:
    input:
        RUN_TABLE,
        LAWS,
    output:
        multiext(f"{RESULTS}/tables/regret", ".csv", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/regret.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        recipe=recipes.frontier_recipe(STUDY),
    message:
        "price simpler rules"
    shell:
        script("regret.py") + " > {log} 2>&1"
