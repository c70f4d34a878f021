"""Sentences on variants by tasks, from tables small enough to check by eye."""

import pandas as pd
import pytest
from made_up_tasks import Cleaning, Painting

from vaebench import task_findings
from vaebench.trade_offs import gather

pytestmark = pytest.mark.usefixtures("made_up_metrics")

KEYS = ["variant", "latent_size"]
SPREAD = 0.1


def sentences(elbo, distance, cleaned, names="abcdef", sizes=None, measures=None) -> list[str]:
    """Of rows with these means, all with intervals of ± 0.1; None is no number. A smaller distance is better."""
    n = len(elbo)
    columns = {"elbo": elbo, "common_bits_per_dim": [None] * n, "distance": distance, "cleaned": cleaned}
    rows = pd.DataFrame({"variant": list(names[:n]), "latent_size": sizes or 2, "measure": measures or "mass"})
    rows = rows.assign(binarisation="none", left_out=None, likelihood="bernoulli", n=5, n_diverged=0)
    for name, means in columns.items():
        means = pd.Series(means, dtype=float)
        rows = rows.assign(**{name: means, f"{name}_low": means - SPREAD, f"{name}_high": means + SPREAD})
    empty = pd.DataFrame(columns=[*KEYS, "task", "condition", "score", "method", "mean"])
    seeds = rows.assign(seed=0)
    return task_findings.sentences(gather([Painting(), Cleaning()], KEYS, seeds, rows, empty))


PAINTING, CLEANING = "Painting (Fréchet distance)", "Cleaning (PSNR)"


def test_one_row_is_best_everywhere():
    assert sentences([-1, -2, -3], [1, 2, 3], [9, 8, 7]) == [
        f"a is best in {PAINTING} and {CLEANING}.",
        f"a, with the best ELBO, is behind no other in {PAINTING} and {CLEANING}.",
        "No row has a rank in one of these that intervals tell apart from its rank in another.",
    ]


def test_the_best_elbo_is_no_best_model():
    assert sentences([-1, -2, -3], [3, 1, 2], [9, 8, 7]) == [
        f"b is best in {PAINTING}.",
        f"a is best in {CLEANING}.",
        f"The best ELBO is no best model for all: a, which has it, is rank 3 in {PAINTING}; "
        f"in {CLEANING} none is ahead of it.",
        f"Ranks disagree most for a: rank 1 in ELBO, but rank 3 in {PAINTING}, of 3 rows.",
    ]


def test_what_intervals_leave_open_is_claimed_of_no_row():
    assert sentences([-1, -1.05, -3], [1, 1.1, 1.15], [9, 8.95, 7]) == [
        f"a and b lead in {CLEANING}, and intervals leave open which of them is ahead.",
        f"In {PAINTING} no variant is told apart from any other.",
        "ELBO does not tell one variant apart as the best.",
        "No row has a rank in one of these that intervals tell apart from its rank in another.",
    ]


def test_whoever_may_be_first_leads():
    # Of a chain of overlaps, the second could be first, the third could not.
    found = sentences([-1, -2, -3], [1.0, 1.15, 1.3], [5, 5, 5])
    assert found[0] == f"a and b lead in {PAINTING}, and intervals leave open which of them is ahead."


def test_no_task_tells_the_variants_apart():
    assert sentences([-1, -2], [1, 1.1], [5, 5.1]) == [
        f"No task tells the variants apart: in {PAINTING} and {CLEANING} no interval over seeds lies apart from another."
    ]


def test_many_leaders_are_counted():
    found = sentences([-1] * 6, [1, 1, 1, 1, 1, 2], [5] * 6)
    assert found[0] == f"5 of 6 rows lead in {PAINTING}, and intervals leave open which of them is ahead."


def test_a_grid_point_is_named_with_its_variant():
    found = sentences([-1, -2], [2, 1], [5, 5], names="aa", sizes=[2, 8])
    assert found[0] == f"a at latent size 8 is best in {PAINTING}."


def test_numbers_of_different_measures_stand_in_no_ranking():
    found = sentences([-1, -2], [2, 1], [5, 7], measures=["mass", "density"])
    assert found == [
        f"b is best in {PAINTING} and {CLEANING}.",
        "No row has a rank in one of these that intervals tell apart from its rank in another.",
    ]


def test_ranks_among_other_rows_are_not_compared():
    # Of the four, only two have a PSNR: to be second of two is no disagreement with being second of four.
    found = sentences([-1, -2, -3, -4], [1, 2, 3, 4], [None, None, 1, 2])
    assert found[-1] == "No row has a rank in one of these that intervals tell apart from its rank in another."


@pytest.mark.parametrize(("distance", "cleaned"), [([1], [5]), ([None, None], [None, None])])
def test_without_a_ranking_nothing_is_said(distance, cleaned):
    assert sentences([-1, -2][: len(distance)], distance, cleaned) == []
