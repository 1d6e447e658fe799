# In a checkout: `snakemake` here is `snakemake` on workflow/Snakefile, which says what can be made. A workflow of your own
# takes that one as a module (config/README.md).
include: "workflow/Snakefile"


workflow.default_target = "all"  # which Snakemake does not take from a file that is included
