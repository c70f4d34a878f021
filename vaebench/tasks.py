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

# Pixels of an image that the classifier halves twice.
SMALLEST_SIDE = 4
# Of whose distances the manifolds of precision and recall are made, as in the paper.
NEIGHBOURS = 3
# Every metric by name: what is computed of each run's scores, then what tasks give.
ALL_METRICS: dict[str, Metric] = dict(METRICS)


class Tasks(Registry):
    """Tasks by kind."""

    def register(self, definition: type) -> type:
        """As `Registry.register`. Raises ValueError for a metric's name that is taken, too."""
        super().register(definition)
        for metric in definition.metrics:
            if metric.name in ALL_METRICS:
                raise ValueError(f"two metrics are called {metric.name!r}")
            ALL_METRICS[metric.name] = metric
        return definition


TASKS = Tasks("task")


class Task:
    """What is known without scoring."""

    kind: str
    title: ClassVar[str]
    # The module of this package that scores it.
    module: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    # The one of them that the table of variants and tasks shows and ranks by.
    headline: ClassVar[str]
    # Condition and score of the findings that the headline stands among: what other methods have there it is held to. Where
    # the condition is None, it is their mean over all conditions.
    headline_finding: ClassVar[tuple[str | None, str]]
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
        """Whether such a run, a `settings.Run`, is scored by it; others have none of its metrics."""
        return True

    def other_datasets(self, run: Any) -> tuple[Dataset, ...]:
        """Those that it reads beside the run's own, for a run that it applies to."""
        return ()


def classifier_fault(dataset: Dataset) -> str | None:
    """Why there can be no classifier of a data set, to end a message as `Task.fault_of` does."""
    height, width = dataset.image_shape
    if min(height, width) < SMALLEST_SIDE:
        return f"has images of {height}×{width} pixels, and {SMALLEST_SIDE}×{SMALLEST_SIDE} are the least"
    return _require_classes(dataset)


class OfClasses(Task):
    """One that tells classes apart, and asks for all of them."""

    needs_of_runs = "each leaves a class out, and it needs all of them"

    def fault_of(self, dataset: Dataset) -> str | None:
        return _require_classes(dataset)

    def applies(self, run: Any) -> bool:
        return run.left_out is None


def _require_classes(dataset: Dataset) -> str | None:
    return None if dataset.class_names else "has no classes"


# How many training images have a label, and what is measured then.
LABEL_COUNTS = (10, 100, 1000)
ACCURACY = "accuracy"


def labels_condition(n_labels: int) -> str:
    """As findings call it."""
    return f"{n_labels:,} labels"


@TASKS.register
@dataclass(frozen=True)
class Generation(Task):
    """How like real images samples from the prior are, and whether all kinds of images are among them."""

    kind: Literal["generation"] = "generation"
    title = "Generation"
    module = "generation"
    headline = "frechet_distance"
    headline_finding = (None, "Fréchet distance")
    methods = {
        "real images": "Floor: as many real images that are not among the scored ones, in place of samples.",
        "one image": "The other end: one real image, again and again.",
    }
    needs_classifier = True
    needs_of_runs = "each leaves a class out, which its samples cannot have"
    metrics = (
        Metric(
            name="frechet_distance",
            family="generation",
            label="Fréchet distance",
            unit="",
            better="lower",
            definition="Squared Fréchet distance of Gaussians fitted to the classifier's features of samples and of real "
            "images; it falls with their number.",
            reference="Heusel et al. 2017",
        ),
        Metric(
            name="sample_precision",
            family="generation",
            label="precision of samples",
            unit="",
            better="higher",
            definition=f"Share of the samples that lie no farther from some real image than its {NEIGHBOURS}rd nearest "
            "real neighbour, in the classifier's features.",
            reference="Kynkäänniemi et al. 2019",
        ),
        Metric(
            name="sample_recall",
            family="generation",
            label="recall of samples",
            unit="",
            better="higher",
            definition=f"Share of the real images that lie no farther from some sample than its {NEIGHBOURS}rd nearest "
            "neighbour among the samples.",
            reference="Kynkäänniemi et al. 2019",
        ),
        Metric(
            name="class_coverage",
            family="generation",
            label="class coverage",
            unit="",
            better="higher",
            definition="Effective number of classes that the classifier finds in the samples, exp of the entropy of their "
            "frequencies, over the number of classes.",
            reference="after Salimans et al. 2016",
        ),
    )

    def fault_of(self, dataset: Dataset) -> str | None:
        if min(dataset.sizes.values()) <= NEIGHBOURS:
            return f"has a split of {min(dataset.sizes.values())} images, and {NEIGHBOURS + 1} are the least"
        return classifier_fault(dataset)

    def applies(self, run: Any) -> bool:
        return run.left_out is None


@TASKS.register
@dataclass(frozen=True)
class Denoising(Task):
    """How near reconstructions of corrupted images come to the clean ones, beside those of PCA and the corrupted images."""

    kind: Literal["denoising"] = "denoising"
    title = "Denoising"
    module = "denoising"
    definitions = (GaussianNoise, SaltAndPepper, MaskedBlock)
    headline = "denoising_psnr"
    headline_finding = (None, "PSNR")
    methods = {
        "noisy image": "Baseline: the corrupted image, left as it is.",
        "PCA": "Baseline: its projection on as many principal components as the code has dimensions.",
        "clean input": "Bound: what the model makes of the clean image, which loses what the code loses.",
    }
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
        "PCA": "Baseline: the squared error of as many principal components as the code has dimensions.",
        "chance": "Floor: a score that knows nothing: AUROC 0.5, average precision the share of anomalies.",
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


@TASKS.register
@dataclass(frozen=True)
class FewLabels(OfClasses):
    """How well classes are learned from few labels: on posterior means (M1 of Kingma et al. 2014b) or, by a run that is
    told labels as it trains, with its own classifier (M2)."""

    kind: Literal["few-labels"] = "few-labels"
    title = "Learning from few labels"
    module = "few_labels"
    headline = "accuracy_100"
    headline_finding = (labels_condition(100), ACCURACY)
    methods = {
        "PCA": "Baseline: the same on principal components, as many as the code has dimensions.",
        "pixels": "Baseline: the same on pixel values.",
        "chance": "Floor: the most frequent class, always.",
    }
    metrics = (
        *(
            Metric(
                name=f"accuracy_{n_labels}",
                family="labels",
                label=f"accuracy, {labels_condition(n_labels)}",
                unit="",
                better="higher",
                definition=f"Accuracy of a logistic regression on posterior means with {n_labels:,} labels, mean over 10 "
                "draws of them; of a run that is told so many, of its own classifier.",
                reference="Kingma et al. 2014b",
            )
            for n_labels in LABEL_COUNTS
        ),
        Metric(
            name="knn_accuracy_100",
            family="labels",
            label="nearest neighbours, 100 labels",
            unit="",
            better="higher",
            definition="Accuracy of the nearest posterior means among 100 with labels, mean over 10 draws of them.",
            reference="Kingma et al. 2014b",
        ),
    )


@TASKS.register
@dataclass(frozen=True)
class Representation(OfClasses):
    """How much of the classes posterior means tell: a linear probe and nearest neighbours with all labels, clusters."""

    kind: Literal["representation"] = "representation"
    title = "Representation"
    module = "representation"
    headline = "linear_probe"
    headline_finding = ("", "linear probe")
    methods = {
        "PCA": "Baseline: the same on principal components, as many as the code has dimensions.",
        "pixels": "Baseline: the same on pixel values.",
        "chance": "Floor: the most frequent class, always, and clusters that are drawn.",
    }
    metrics = (
        Metric(
            name="linear_probe",
            family="representation",
            label="linear probe",
            unit="",
            better="higher",
            definition="Accuracy of a logistic regression on posterior means, fitted with all labels.",
            reference="Alain & Bengio 2017",
        ),
        Metric(
            name="nearest_neighbours",
            family="representation",
            label="nearest neighbours",
            unit="",
            better="higher",
            definition="Accuracy of the five nearest posterior means with all labels, weighted by inverse distance.",
            reference="Cover & Hart 1967",
        ),
        Metric(
            name="cluster_nmi",
            family="representation",
            label="cluster NMI",
            unit="",
            better="higher",
            definition="Mutual information of classes and k-means clusters over the mean of their entropies.",
            reference="after Strehl & Ghosh 2002",
        ),
        Metric(
            name="cluster_ari",
            family="representation",
            label="cluster ARI",
            unit="",
            better="higher",
            definition="Adjusted Rand index of classes and k-means clusters: 1 where they are the same, 0 at chance.",
            reference="Hubert & Arabie 1985",
        ),
    )
