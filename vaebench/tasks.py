"""Tasks: what a trained VAE may be good for, each measured in its own numbers.

A task is declared here, with its metrics and what it needs, and scored by `score` of the module that it names:
`score(subject: Subject, task: Task) -> TaskScores`. That module is looked up by name as the task is scored, so that to edit
it makes the task's scores out of date and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vaebench.corruptions import GaussianNoise, MaskedBlock, SaltAndPepper
from vaebench.datasets import FashionMnist, Mnist
from vaebench.metrics import METRICS, Metric
from vaebench.registry import Registry

if TYPE_CHECKING:
    from vaebench.datasets import Dataset

TASKS = Registry("task")


class Task:
    """What is known without scoring."""

    kind: str
    title: ClassVar[str]
    # The module of this package that scores it.
    module: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    # The one of them that the table of variants and tasks shows and ranks by.
    headline: ClassVar[str]
    # Condition and score of the findings that the headline stands among: what other methods have there it is held to.
    headline_finding: ClassVar[tuple[str, str]]
    # What these other methods are, baselines and floors, for people: name -> a sentence.
    methods: ClassVar[dict[str, str]] = {}
    # Whether it looks through the eyes of the data set's classifier (`vaebench.classifier`).
    needs_classifier: ClassVar[bool] = False
    # The registered definitions that scoring uses beside those of the run.
    definitions: ClassVar[tuple[type, ...]] = ()
    # What a run must be for it to apply, to end a message.
    needs_of_runs: ClassVar[str] = ""

    def fault_of(self, dataset: Dataset) -> str | None:
        """Why it cannot be scored on a data set, to end a message that begins with the data set's kind; None if it can."""
        return None

    def applies(self, run: Any) -> bool:
        """Whether such a run, a `specification.Run`, is scored by it; others have none of its metrics."""
        return True

    def other_datasets(self, run: Any) -> tuple[Dataset, ...]:
        """Those that it reads beside the run's own, for a run that it applies to."""
        return ()


def _require_classes(dataset: Dataset) -> str | None:
    return None if dataset.class_names else "has no classes"


@TASKS.register
@dataclass(frozen=True)
class Representation(Task):
    """How much of the classes posterior means tell: a linear probe with all labels, clusters, nearest neighbours."""

    kind: Literal["representation"] = "representation"
    title = "Representation"
    module = "representation"
    headline = "linear_probe"
    headline_finding = ("", "accuracy")
    metrics = (
        Metric(
            name="linear_probe",
            family="representation",
            label="linear probe",
            unit="",
            better="higher",
            definition="Share of test images whose class a logistic regression on posterior means, fitted to all training "
            "images, names rightly.",
            reference="Alain & Bengio 2017",
        ),
    )

    def fault_of(self, dataset: Dataset) -> str | None:
        return _require_classes(dataset)


@TASKS.register
@dataclass(frozen=True)
class Denoising(Task):
    """How near reconstructions of corrupted images come to the clean ones, beside those of PCA and the corrupted images."""

    kind: Literal["denoising"] = "denoising"
    title = "Denoising"
    module = "denoising"
    definitions = (GaussianNoise, SaltAndPepper, MaskedBlock)
    headline = "denoising_psnr"
    metrics = (
        Metric(
            name="denoising_psnr",
            family="denoising",
            label="denoising PSNR",
            unit="dB",
            better="higher",
            definition="PSNR of reconstructions of corrupted images against the clean ones, mean over five corruptions.",
            reference="Hore & Ziou 2010",
        ),
        Metric(
            name="denoising_gain",
            family="denoising",
            label="denoising gain",
            unit="dB",
            better="higher",
            definition="The same minus the PSNR of the corrupted images: above 0 where the run mends more than it loses.",
            reference="Vincent et al. 2008",
        ),
        Metric(
            name="denoising_ssim",
            family="denoising",
            label="denoising SSIM",
            unit="",
            better="higher",
            definition="Structural similarity of the same reconstructions to the clean images, mean over five corruptions.",
            reference="Wang et al. 2004",
        ),
    )


@TASKS.register
@dataclass(frozen=True)
class Anomaly(Task):
    """Whether images of a class that was left out, or else of another data set, are less likely than those of the test."""

    kind: Literal["anomaly"] = "anomaly"
    title = "Anomaly detection"
    module = "anomaly"
    headline = "anomaly_auroc"
    headline_finding = ("class left out", "AUROC")
    methods = {
        "PCA": "the squared error of as many principal components of the training images as there are latent dimensions",
        "chance": "a score that knows nothing: AUROC 0.5, average precision the share of anomalous images",
    }
    needs_of_runs = (
        "it needs a class that is left out, by the setting left_out, or a data set that has another beside it "
        "(mnist and fashion-mnist)"
    )
    metrics = (
        Metric(
            name="anomaly_auroc",
            family="anomaly",
            label="AUROC",
            unit="",
            better="higher",
            definition="Probability that −ELBO ranks an image of the class left out above another image; 0.5 is chance.",
            reference="DeLong et al. 1988",
        ),
        Metric(
            name="anomaly_precision",
            family="anomaly",
            label="average precision",
            unit="",
            better="higher",
            definition="Area under the precision–recall curve of the class left out, by −ELBO; chance is its share.",
            reference="Boyd et al. 2013",
        ),
        Metric(
            name="outlier_auroc",
            family="anomaly",
            label="AUROC of another data set",
            unit="",
            better="higher",
            definition="The same for images of another data set; below 0.5 the model finds them more likely than its own.",
            reference="Nalisnick et al. 2019",
        ),
    )

    def applies(self, run: Any) -> bool:
        return run.left_out is not None or bool(self.other_datasets(run))

    def other_datasets(self, run: Any) -> tuple[Dataset, ...]:
        """The one that a run stands against which leaves out no class."""
        others = {Mnist: FashionMnist, FashionMnist: Mnist}
        other = others.get(type(run.dataset)) if run.left_out is None else None
        return (other(),) if other else ()


# Every metric by name: what is computed of each run's scores, then what tasks give.
ALL_METRICS: dict[str, Metric] = METRICS | {metric.name: metric for task in TASKS.values() for metric in task.metrics}
