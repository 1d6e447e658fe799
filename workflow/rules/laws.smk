rule laws:
    """the fitted laws and their tables"""
    input:
        LAWS,
        f"{RESULTS}/tables/forms.csv",


FITTING = 1 if len(STUDY.targets()) > 1 else 4
FITTED = jobs.table_rows(STUDY, len(configurations(STUDY, RUNS.values()))) if SITE else 0


rule fit_target:
    input:
        RUN_TABLE,
    output:
        expand(f"{RESULTS}/laws/{{{{target}}}}/{{form}}.{{kind}}", form=STUDY.laws.forms, kind=["json", "bag.csv"]),
        weights=f"{RESULTS}/laws/{{target}}/weights.json",
        forms=f"{RESULTS}/laws/{{target}}/forms.csv",
        predictions=f"{RESULTS}/laws/{{target}}/predictions.csv",
    log:
        f"{RESULTS}/logs/fit-{{target}}.log",
    conda:
        "../../envs/analysis.yaml"
    threads: FITTING
    resources:
        **jobs.cpu_job(SITE, hours=lambda _: jobs.fitting_hours(STUDY.laws, FITTED, FITTING), cores=FITTING),
    params:
        fingerprint=fingerprints.laws_fingerprint(STUDY),
    message:
        "fit the laws of {wildcards.target}"
    shell:  # warnings to the terminal too: a law must not look surer than it is
        command("fit", show="errors") + " --target {wildcards.target:q} --threads {threads}"


# How the forms compare, and how well the main target's parameters are determined.
rule compare_laws:
    input:
        LAWS,
        expand(f"{RESULTS}/laws/{{target}}/forms.csv", target=STUDY.targets()),
    output:
        table("forms"),
        multiext(f"{RESULTS}/tables/formulas", ".csv", ".md", ".tex"),
        profile=f"{RESULTS}/laws/{STUDY.main_target}/profile.csv",
    log:
        f"{RESULTS}/logs/laws.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.laws_fingerprint(STUDY),
    message:
        "compare the laws"
    shell:
        command("law-tables") + " --tables forms profile --threads {threads}"


if len(STUDY.targets()) > 1:

    rule profile_law:
        input:
            LAWS,
        output:
            f"{RESULTS}/laws/{{target}}/profile.csv",
        log:
            f"{RESULTS}/logs/profile-{{target}}.log",
        wildcard_constraints:
            target="|".join(re.escape(name) for name in STUDY.targets() if name != STUDY.main_target),
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        params:
            fingerprint=fingerprints.laws_fingerprint(STUDY),
        message:
            "profile the law of {wildcards.target}"
        shell:
            command("profile") + " --target {wildcards.target:q} --threads {threads}"


rule ablation_tables:
    input:
        RUN_TABLE,
    output:
        multiext(f"{RESULTS}/tables/fitting", ".csv", ".md", ".tex"),
        multiext(f"{RESULTS}/tables/bagging", ".csv", ".md", ".tex"),
    log:
        f"{RESULTS}/logs/ablations.log",
    conda:
        "../../envs/analysis.yaml"
    resources:
        **jobs.cpu_job(SITE, hours=lambda _: jobs.ablation_hours(STUDY.laws, FITTED)),
    params:
        fingerprint=fingerprints.laws_fingerprint(STUDY),
    message:
        "fit and bag in other ways"
    shell:
        command("law-tables") + " --tables fitting bagging --threads {threads}"
