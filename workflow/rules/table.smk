rule collect:
    """the table of runs, runs.csv"""
    input:
        RUN_TABLE,


rule read_table:
    input:
        STUDY.table.path,
    output:
        RUN_TABLE,
    log:
        f"{RESULTS}/logs/read-table.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        fingerprint=fingerprints.table_fingerprint(STUDY),
    message:
        "read the table"
    shell:
        command("collect", show=True)
