"""Warnings on tables small enough to check by eye."""

from test_findings import NAN, runs, scored, summary

from vaebench import caveats


def test_a_loss_on_grey_pixels_is_no_likelihood():
    assert caveats.unnormalised(runs(("bce", "mass", "static"), ("mse", "density", "none"))) == []
    made = runs(("bce", "not a density", "none"), ("mse", "density", "none")).assign(nll=[1.0, 2.0], distortion=[NAN, 2.0])
    assert caveats.unnormalised(made) == [
        "The bernoulli likelihood on grey pixels is not a density: ELBO and NLL of bce are values of a loss, "
        "to be compared among themselves only. On binarised data they would be log-probabilities."
    ]
    assert caveats.unnormalised(made.assign(status="diverged")) == []


def test_mutual_information_at_its_ceiling_is_a_lower_bound():
    # ln 360 = 5.886.
    made = scored(mutual_information=[5.38, 5.39, 5.89, NAN], status=["trained"] * 3 + ["diverged"])
    assert caveats.at_ceiling(made, 360) == [
        "In 2 of 3 runs (of b and c) the mutual information lies within 0.5 nats of its ceiling, ln N = 5.89 for N = 360 "
        "images: read it as “at least”, and marginal KL as “at most”."
    ]
    assert caveats.at_ceiling(made, 10_000) == []
    assert caveats.at_ceiling(made, 100)[0].startswith("In all 3 runs the mutual information")
    assert caveats.at_ceiling(made[:1], 100)[0].startswith("In the only run the mutual information")


def test_spreads_at_their_bound_are_said():
    made = scored(share_at_bound=[0.1, 0.2, 0.0, NAN, 0.0004], variant=["pixel", "pixel", "learned", "mse", "logistic"])
    assert caveats.at_bound(made) == [
        "Of the learned σ or scales, 15 % of pixel and 0.04 % of logistic lie at their lower bound, as means over runs: "
        "likelihoods there depend on the bound."
    ]
    assert caveats.at_bound(made[2:4]) == []


def test_few_effective_samples_are_said():
    made = scored(effective_samples=[9.9, 3.24, 10.0, NAN], status=["trained"] * 3 + ["diverged"])
    assert caveats.few_samples(made, 100) == [
        "In 2 of 3 runs (of a and b) fewer than 10 of the K = 100 samples an image are effective, 3.2 at the fewest: NLL "
        "may lie far above −log p(x) there."
    ]
    assert caveats.few_samples(made[2:], 100) == []


def test_too_few_seeds_are_said():
    assert caveats.without_interval(summary(("bce", 8, 1.0, 1.0, 1.0, 3))) == []
    assert caveats.without_interval(summary(("bce", 8, 1.0, NAN, NAN, 1), ("mse", 8, 1.0, 1.0, 1.0, 3))) == [
        "There is no interval in 1 of 2 rows of the summary: fewer than 3 seeds were trained to the end, so no difference "
        "is supported there."
    ]


def test_diverged_runs_are_listed():
    made = runs(("bce", "mass", "none"), ("wild", "mass", "none"), ("wilder", "mass", "none"))
    assert caveats.diverged(made) == []
    status = ["trained", "diverged", "diverged"]
    lost = made.assign(status=status, diverged_epoch=[NAN, 17.0, 1.0], diverged_because=[None, "NaN: rate", None])
    assert caveats.diverged(lost) == [
        "Diverged, without scores: 2 of 3 runs: wild-s0 (after 17 epochs; NaN: rate), wilder-s0 (after 1 epoch)."
    ]
    lost = made.assign(status=status, diverged_epoch=[NAN, NAN, 1.0], diverged_because=[None, "infinite: NLL", None])
    assert "wild-s0 (in scoring; infinite: NLL)," in caveats.diverged(lost)[0]


def test_uncommitted_changes_are_counted():
    assert caveats.uncommitted([{"git commit": None}, {"git commit": "abc"}]) == []
    assert caveats.uncommitted([{"git commit": "abc-dirty"}, {"git commit": "abc"}]) == [
        "1 of 2 runs came from a checkout with uncommitted changes, so the commit alone does not make them again."
    ]
