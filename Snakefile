# From a study (config.yaml) to its compute-optimal frontier. `snakemake` makes everything; a named target stops earlier:
#   plan · fetch · data · pretrain · benchmarks · finetune · evaluate · collect · laws · frontier · checks · figures ·
#   report · explorer
# and any file can be asked for by its path:
#   results/<study>/study.json plan.csv plan.md            the resolved study and its runs
#   results/<study>/data/<split>/manifest.json             videos and questions: train, test (align: for pretraining)
#   results/<study>/data/<split>/fetched.json              where a study fetches its sets itself
#   results/<study>/models/<language>/                     starting models, where the study makes them itself
#   results/<study>/runs/<run>/finetuned.json result.json  one run, <run> = N83.3k_T8_V16_n400_s0
#   results/<study>/runs.csv                               one row per run; a user's own table enters here
#   results/<study>/data/benchmarks.json  runs/<run>/answered.json    where lmms-eval tests on published benchmarks
#   results/<study>/laws/ tables/ frontier/ figures/       see results/README.md
#   results/<study>/report.html explorer.html              what was found: a page to read, and one to play with
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"


if SITE and SITE.container:

    container: SITE.container


# A wildcard is one name, never a path; `{target}` is one of the study's targets.
wildcard_constraints:
    run="[^/]+",
    language="[^/]+",
    target="|".join(map(re.escape, STUDY.targets())),


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        f"{RESULTS}/plan.md",
        RUN_RESULTS,  # named although the tables need them: a run that someone deletes is made again
        RUN_TABLE,
        f"{RESULTS}/tables/forms.csv",
        f"{RESULTS}/tables/checks.csv",
        FRONTIER,
        NEXT_RUNS,
        FIGURE_FILES,
        f"{RESULTS}/report.html",
        f"{RESULTS}/explorer.html",
    localrule: True


include: "workflow/rules/plan.smk"


if STUDY.trained:

    include: "workflow/rules/data.smk"
    include: f"workflow/rules/{'published' if STUDY.models.pretrained else 'models'}.smk"
    include: "workflow/rules/runs.smk"

    if STUDY.evaluate.harness == "lmms-eval":

        include: "workflow/rules/benchmarks.smk"
    include: "workflow/rules/fetch.smk"

else:

    include: "workflow/rules/table.smk"


include: "workflow/rules/laws.smk"
include: "workflow/rules/frontier.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


# Only in the call of a user: the jobs of a cluster are Snakemakes of their own, which make what they are told.
if workflow.is_main_process:
    redo_outdated(workflow, STUDY, RUNS, RESULTS, forced)


onstart:
    write_study(STUDY, Path(STUDY_JSON))


onsuccess:
    summarise("--answer")


onerror:
    summarise("--report")
