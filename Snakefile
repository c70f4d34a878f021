"""The workflow: prepare a data set, train and score cohorts of runs, then tables, figures, report and MLflow.

snakemake --cores 4                                the main job, experiments/digits.yaml
snakemake --cores 4 --config experiment=mnist      everything of another file of experiments/
snakemake --cores 4 results/mnist/report.html      only up to its report
"""

import sys

sys.path.insert(0, workflow.basedir)

from vaebench import keys, stages
from vaebench.figures import FIGURES

experiment = stages.experiment
chosen = stages.choices(config, sys.argv)
lanes_option = f"--lanes {chosen.lanes}" if chosen.lanes else ""


wildcard_constraints:
    experiment=r"[^/]+",
    dataset=r"[^/]+",
    cohort=r"[^/]+",


onstart:
    stages.begin(path for job in workflow.dag.needrun_jobs() for path in job.output)


onsuccess:
    print(stages.close())


onerror:
    stages.explain_failure()


rule all:
    default_target: True
    input:
        f"results/{chosen.experiment}/report.html",
        f"results/{chosen.experiment}/tracked.csv",


rule prepare:
    output:
        "results/datasets/{dataset}.npz",
    log:
        "results/datasets/{dataset}.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.dataset_key(stages.dataset(wildcards.dataset)),
        dataset=lambda wildcards: stages.dataset(wildcards.dataset).argument,
    shell:
        "python -m vaebench prepare {params.dataset:q} > {log} 2>&1"


rule classifier:
    input:
        "results/datasets/{dataset}.npz",
    output:
        "results/datasets/{dataset}.classifier.json",
    log:
        "results/datasets/{dataset}.classifier.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.classifier_key(stages.dataset(wildcards.dataset)),
        dataset=lambda wildcards: stages.dataset(wildcards.dataset).argument,
    shell:
        "python -m vaebench classify {params.dataset:q} > {log} 2>&1"


rule cohort:
    input:
        lambda wildcards: stages.dataset_files(wildcards.experiment),
    output:
        "results/{experiment}/cohorts/{cohort}/history.parquet",
        "results/{experiment}/cohorts/{cohort}/metrics.parquet",
        "results/{experiment}/cohorts/{cohort}/spectrum.parquet",
        "results/{experiment}/cohorts/{cohort}/tasks.parquet",
    log:
        "results/{experiment}/logs/cohort/{cohort}.log",
    conda:
        "environment.yml"
    threads: 1
    resources:
        gpu=int(chosen.device != "cpu"),
        # No parameter: those make results out of date when they change.
        checkpoint_seconds=chosen.checkpoint_seconds,
    params:
        key=lambda wildcards: keys.cohort_evaluation_key(
            experiment(wildcards.experiment),
            experiment(wildcards.experiment).cohort(wildcards.cohort),
        ),
        device=chosen.device,
        options=f"--precision {chosen.precision} {lanes_option}",
    shell:
        "python -m vaebench cohort experiments/{wildcards.experiment}.yaml"
        " --cohort {wildcards.cohort} --device {params.device} {params.options}"
        " --checkpoint-seconds {resources.checkpoint_seconds} > {log} 2>&1"


rule aggregate:
    input:
        lambda wildcards: stages.cohort_files(wildcards.experiment),
    output:
        "results/{experiment}/runs.csv",
        "results/{experiment}/comparisons.csv",
        "results/{experiment}/history.parquet",
        "results/{experiment}/spectrum.parquet",
        "results/{experiment}/summary.tex",
        "results/{experiment}/summary.md",
        summary=report(
            "results/{experiment}/summary.csv",
            category="{experiment}",
            caption="vaebench/captions/summary.rst",
            labels={"shows": "Summary over seeds"},
        ),
    log:
        "results/{experiment}/logs/aggregate.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.tables_key(experiment(wildcards.experiment)),
        options=lanes_option,
    shell:
        "python -m vaebench aggregate experiments/{wildcards.experiment}.yaml"
        " {params.options} > {log} 2>&1"


rule draw:
    input:
        rules.aggregate.output,
    output:
        report(
            directory("results/{experiment}/figures"),
            patterns=[r"{figure,[^/]+}.svg"],
            category="{experiment}",
            caption="vaebench/captions/figure.rst",
            labels={"shows": "{figure}"},
        ),
    log:
        "results/{experiment}/logs/draw.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.figures_key(
            experiment(wildcards.experiment), FIGURES.functions
        ),
        captions={name: figure.caption for name, figure in FIGURES.items()},
    shell:
        "python -m vaebench draw experiments/{wildcards.experiment}.yaml > {log} 2>&1"


rule report:
    input:
        rules.aggregate.output,
        rules.draw.output,
    output:
        report(
            "results/{experiment}/report.html",
            category="{experiment}",
            caption="vaebench/captions/report.rst",
            labels={"shows": "Report"},
        ),
    log:
        "results/{experiment}/logs/report.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.report_key(experiment(wildcards.experiment)),
    shell:
        "python -m vaebench report experiments/{wildcards.experiment}.yaml > {log} 2>&1"


rule track:
    input:
        rules.aggregate.output,
        rules.draw.output,
        rules.report.output,
    output:
        "results/{experiment}/tracked.csv",
    log:
        "results/{experiment}/logs/track.log",
    conda:
        "environment.yml"
    params:
        key=lambda wildcards: keys.tracking_key(experiment(wildcards.experiment)),
    shell:
        "python -m vaebench track experiments/{wildcards.experiment}.yaml > {log} 2>&1"
