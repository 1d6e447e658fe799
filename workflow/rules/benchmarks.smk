rule benchmarks:
    input:
        f"{RESULTS}/data/benchmarks.json",


# Local, since it needs the network, which nodes of a cluster may not have.
rule fetch_benchmarks:
    output:
        f"{RESULTS}/data/benchmarks.json",
    log:
        f"{RESULTS}/logs/fetch-benchmarks.log",
    localrule: True
    conda:
        "../../envs/evaluate.yaml"
    params:
        fingerprint=fingerprints.benchmarks_fingerprint(STUDY),
    message:
        "fetch the benchmarks"
    shell:
        command("fetch") + " benchmarks"
