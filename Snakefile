# From a study (config.yaml) to its compute-optimal frontier. `snakemake` makes everything; a named target stops earlier:
#   plan · data · pretrain · finetune · evaluate · collect · laws · frontier · figures
# and any file can be asked for by its path:
#   results/<study>/study.json plan.csv plan.md            the resolved study and its runs
#   results/<study>/data/<split>/manifest.json             videos and questions: train, test (align: for pretraining)
#   results/<study>/models/<language>/                     starting models, where the study makes them itself
#   results/<study>/runs/<run>/finetuned.json result.json  one run, <run> = N83.3k_T8_V16_n800_s0
#   results/<study>/runs.csv                               one row per run; a user's own table enters here
#   results/<study>/laws/ tables/ frontier/ figures/       see results/README.md
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"


onstart:
    write_study(STUDY, Path(STUDY_JSON))


localrules:
    all,
    plan,


rule all:
    default_target: True
    input:
        f"{RESULTS}/plan.md",
        f"{RESULTS}/runs.csv",


include: "workflow/rules/plan.smk"


if STUDY.trained:

    include: "workflow/rules/data.smk"
    include: "workflow/rules/models.smk"
    include: "workflow/rules/runs.smk"
