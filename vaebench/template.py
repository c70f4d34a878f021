"""A new experiment file: small, valid, and commented where one would change it."""

from __future__ import annotations

import math
import string
from pathlib import Path

import yaml

from vaebench import experiment_file
from vaebench.datasets import DATASETS
from vaebench.errors import UserError
from vaebench.files import write_text
from vaebench.specification import parse_dataset, require_name

TEMPLATE = string.Template("""\
# What would be trained: vaebench check experiments/$name.yaml
# Train it:              snakemake --cores 4 results/$name/report.html
# Every key:             docs/experiments.md

# The report's heading, best a question, and a sentence or two below it.
title: What does a KL weight of 4 change?
description: >
  A plain VAE beside one with four times the KL weight.

dataset: $dataset  # $datasets
seeds: 3  # 0, 1, 2; intervals over seeds are worth reading from five on

# Settings of every run.
defaults:
  network: {kind: mlp, hidden: [$width]}  # widths of the encoder's layers; the decoder mirrors them
  likelihood: bernoulli  # what the decoder's outputs mean, such as gaussian or {kind: gaussian, sigma: 0.1}
  latent_size: 8
  epochs: $epochs
  learning_rate: 1.0e-3

# Every variant is trained at every combination of these values, which stand in place of the defaults.
# grid: {latent_size: [2, 8, 32]}

# In what each variant differs from the defaults; a name is small letters, digits, '-' and '.'.
variants:
  bce: {}
  beta-4: {kl: {schedule: constant, weight: 4}}
  # anneal: {kl: {schedule: linear, over: 0.3}}  # from 0 to 1 over the first 30 % of training

# The variant that the others are compared with, seed by seed, and the metric that answers the title's question.
baseline: bce
headline: active_units

# K samples of z an image, for the distortion and for NLL_K.
evaluation: {n_samples: 100}
""")


def write(name: str, dataset: str, folder: Path = Path("experiments")) -> Path:
    """Write folder/NAME.yaml; dataset: as an experiment file names it, such as "mnist" or "{kind: npz, file: my.npz}".

    Raises UserError for a name or data set that cannot be, and where that file is there.
    """
    path = folder / f"{name}.yaml"
    require_name(name, path)
    is_small = parse_dataset(dataset).n_pixels <= 64
    if path.exists():
        raise UserError(f"{path}: is there already; choose another name, or edit it")
    sizes = {"width": 128, "epochs": 50} if is_small else {"width": 400, "epochs": 10}
    # As it was asked for, in one line, without what a definition adds.
    asked = yaml.safe_dump(
        [experiment_file.parse(dataset, "dataset")], default_flow_style=True, sort_keys=False, width=math.inf
    )
    names = {"name": name, "dataset": asked.strip()[1:-1], "datasets": ", ".join(DATASETS)}
    write_text(path, TEMPLATE.substitute(names, **sizes))
    return path
