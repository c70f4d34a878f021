"""The optimum of a linear VAE against probabilistic PCA, and against a model that has the optimal weights."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from vaebench.likelihoods import Gaussian
from vaebench.linear_optimum import linear_optimum
from vaebench.model import VAE, build
from vaebench.networks import Linear

SPECTRUM = np.array([3.0, 1.5, 0.8, 0.3, 0.1])


def data(n: int = 400, spectrum: np.ndarray = SPECTRUM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points around a mean that is not 0, that mean, and their covariance, whose eigenvalues are about the spectrum's."""
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(len(spectrum), len(spectrum))))[0]
    x = generator.normal(size=(n, len(spectrum))) * np.sqrt(spectrum) @ axes.T + generator.normal(size=len(spectrum))
    return x, x.mean(0), np.cov(x, rowvar=False, ddof=0)


def principal(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues in falling order, and their axes as columns."""
    eigenvalues, axes = np.linalg.eigh(covariance)
    return eigenvalues[::-1], axes[:, ::-1]


def ppca_log_likelihood(x: np.ndarray, latent_size: int, sigma: float) -> float:
    """Mean log p(x) of probabilistic PCA (Tipping & Bishop 1999): W has the columns √(λ_i - σ²) u_i, where that is real."""
    mean, covariance = x.mean(0), np.cov(x, rowvar=False, ddof=0)
    eigenvalues, axes = principal(covariance)
    weight = axes[:, :latent_size] * np.sqrt((eigenvalues[:latent_size] - sigma**2).clip(min=0))
    model = stats.multivariate_normal(mean, weight @ weight.T + sigma**2 * np.eye(len(mean)))
    return model.logpdf(x).mean()


@pytest.mark.parametrize("latent_size", [1, 2, 4, 5, 8])
@pytest.mark.parametrize("sigma", [0.2, 0.6, 1.3, 2.5])
def test_at_weight_1_the_elbo_is_the_log_likelihood_of_probabilistic_pca(latent_size, sigma):
    x, _, covariance = data()
    optimum = linear_optimum(covariance, latent_size, 1.0, sigma)
    assert optimum.elbo == pytest.approx(ppca_log_likelihood(x, latent_size, sigma), rel=1e-10)


@pytest.mark.parametrize("latent_size", [1, 2, 4])
def test_a_learned_sigma_at_weight_1_is_the_root_of_the_mean_discarded_eigenvalue(latent_size):
    x, _, covariance = data()
    optimum = linear_optimum(covariance, latent_size, 1.0, None)
    discarded = principal(covariance)[0][latent_size:]
    assert optimum.sigma == pytest.approx(math.sqrt(discarded.mean()), rel=1e-12)
    # It is the most likely one.
    best = optimize.minimize_scalar(lambda sigma: -ppca_log_likelihood(x, latent_size, sigma), bounds=(0.05, 3))
    assert optimum.elbo == pytest.approx(-best.fun, rel=1e-9)
    assert optimum.sigma == pytest.approx(best.x, rel=1e-3)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("latent_size", [1, 3, 4])
def test_a_learned_sigma_is_the_best_of_all_at_any_weight(weight, latent_size):
    _, _, covariance = data(spectrum=np.array([3.0, 0.5, 0.45, 0.4, 0.35]))

    def objective(log_sigma: float) -> float:
        at = linear_optimum(covariance, latent_size, weight, math.exp(log_sigma))
        return at.distortion + weight * at.kl.sum()

    found = linear_optimum(covariance, latent_size, weight, None)
    grid = [objective(log_sigma) for log_sigma in np.linspace(-4, 2, 601)]
    assert found.distortion + weight * found.kl.sum() <= min(grid) + 1e-12
    assert found.distortion + weight * found.kl.sum() == pytest.approx(min(grid), abs=1e-3)


def test_a_learned_sigma_has_a_bound():
    _, _, covariance = data()
    free = linear_optimum(covariance, 3, 0.5, None)
    assert linear_optimum(covariance, 3, 0.5, None, min_sigma=0.5 * free.sigma).sigma == free.sigma
    bounded = linear_optimum(covariance, 3, 0.5, None, min_sigma=2 * free.sigma)
    at_bound = linear_optimum(covariance, 3, 0.5, 2 * free.sigma)
    assert bounded.sigma == at_bound.sigma == 2 * free.sigma
    assert bounded.elbo == at_bound.elbo


@pytest.mark.parametrize("weight", [0.5, 1.0])
@pytest.mark.parametrize("latent_size", [2, 3, 4, 6])
def test_where_nothing_is_discarded_sigma_lies_at_its_bound(weight, latent_size):
    # Two pixels never change, so two dimensions take up all there is.
    optimum = linear_optimum(np.diag([0.5, 0.2, 0.0, 0.0]), latent_size, weight, None, min_sigma=0.01)
    assert optimum.sigma == 0.01
    assert optimum.n_active == 2
    assert math.isfinite(optimum.elbo)


def test_more_dimensions_than_pixels():
    x, _, covariance = data()
    for sigma in (0.2, 0.6, None):
        wide, full = (linear_optimum(covariance, size, 1.0, sigma, min_sigma=0.01) for size in (8, 5))
        assert wide.elbo == pytest.approx(full.elbo, rel=1e-12)
        for values in (wide.eigenvalues, wide.kl, wide.mean_variance, wide.posterior_variance):
            assert values.shape == (8,)
        assert wide.kl[5:].tolist() == wide.mean_variance[5:].tolist() == wide.eigenvalues[5:].tolist() == [0, 0, 0]
        assert wide.posterior_variance[5:].tolist() == [1, 1, 1]
    # All variance can be taken up: the likelihood is that of a Gaussian with the data's own covariance.
    full = linear_optimum(covariance, 5, 1.0, None)
    expected = stats.multivariate_normal(x.mean(0), covariance).logpdf(x).mean()
    assert full.elbo == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("weight", "sigma", "n_active"),
    [(1, 0.05, 4), (1, 0.5, 3), (2, 0.5, 2), (4, 0.5, 1), (1, 1.0, 1), (16, 0.5, 0), (1, 3.0, 0)],
)
def test_dimensions_are_active_whose_eigenvalue_exceeds_the_weighted_noise(weight, sigma, n_active):
    optimum = linear_optimum(np.diag([0.3, 3.0, 0.02, 0.8]), 4, weight, sigma)
    assert optimum.eigenvalues.tolist() == pytest.approx([3, 0.8, 0.3, 0.02])
    assert optimum.n_active == n_active
    assert (optimum.kl > 0).tolist() == [index < n_active for index in range(4)]


def test_by_hand():
    # s = βσ² = 2 · ¼ = ½; active: 2 and 1, not ¼.
    optimum = linear_optimum(np.diag([1.0, 0.25, 2.0]), 3, 2.0, 0.5)
    assert optimum.kl.tolist() == pytest.approx([math.log(4) / 2, math.log(2) / 2, 0])
    assert optimum.mean_variance.tolist() == pytest.approx([0.75, 0.5, 0])
    assert optimum.posterior_variance.tolist() == pytest.approx([0.25, 0.5, 1])
    # Squared error ½ + ½ + ¼, over 2σ² = ½, and 3/2 ln(2π/4).
    assert optimum.distortion == pytest.approx(2.5 + 1.5 * math.log(math.pi / 2))
    assert optimum.elbo == pytest.approx(-optimum.distortion - math.log(8) / 2)


def test_with_all_dimensions_collapsed_it_is_a_gaussian_around_the_mean():
    x, mean, covariance = data()
    optimum = linear_optimum(covariance, 3, 1.0, 4.0)
    assert optimum.n_active == 0
    assert optimum.posterior_variance.tolist() == [1, 1, 1]
    assert optimum.elbo == pytest.approx(stats.norm.logpdf(x, mean, 4.0).sum(1).mean(), rel=1e-12)


def optimal_model(covariance: np.ndarray, mean: np.ndarray, latent_size: int, weight: float, sigma: float) -> VAE:
    """W has the columns √(λ_i - s) u_i; q(z|x) has the mean Wᵀ(x - mean) / λ_i and the variance s / λ_i."""
    eigenvalues, axes = principal(covariance)
    eigenvalues, axes = eigenvalues[:latent_size], axes[:, :latent_size]
    noise = weight * sigma**2
    decoder = axes * np.sqrt((eigenvalues - noise).clip(min=0))
    encoder = decoder.T / eigenvalues[:, None]
    model = build(Linear(), Gaussian(sigma=sigma), 256, len(mean), latent_size, seed=0).double()
    for parameter, value in (
        (model.decoder[0].weight, decoder),
        (model.decoder[0].bias, mean),
        (model.encoder.module[0].weight, encoder),
        (model.encoder.module[0].bias, -encoder @ mean),
        (model.encoder.constant, np.log(np.minimum(noise / eigenvalues, 1))),
    ):
        parameter.copy_(torch.tensor(value))
    return model


def expected_terms(model: VAE, x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Rate by dimension and distortion of a linear model with Gaussian pixels, exactly: no z is drawn."""
    encoder, decoder, sigma = model.encoder.module[0], model.decoder[0], model.likelihood.sigma
    x = torch.tensor(x)
    mean = x @ encoder.weight.T + encoder.bias
    variance = model.encoder.constant.exp()
    kl = 0.5 * (mean.square() + variance - variance.log() - 1).mean(0)
    error = (x - mean @ decoder.weight.T - decoder.bias).square().sum(1).mean()
    error = error + (decoder.weight.square() * variance).sum()
    return kl, error / (2 * sigma**2) + 0.5 * x.shape[1] * math.log(2 * math.pi * sigma**2)


CASES = pytest.mark.parametrize(
    ("latent_size", "weight", "sigma"), [(2, 1.0, 0.5), (3, 0.2, 0.8), (4, 4.0, 0.4), (5, 1.0, 0.7), (2, 10.0, 1.0)]
)


@CASES
def test_a_model_with_the_optimal_weights_is_where_the_closed_form_says(latent_size, weight, sigma):
    x, mean, covariance = data()
    model = optimal_model(covariance, mean, latent_size, weight, sigma)
    optimum = linear_optimum(covariance, latent_size, weight, sigma)
    kl, distortion = expected_terms(model, x)
    np.testing.assert_allclose(kl.numpy(), optimum.kl, atol=1e-12)
    assert distortion.item() == pytest.approx(optimum.distortion, rel=1e-12)
    q = model.encode(torch.tensor(x))
    np.testing.assert_allclose(q.mean.var(0, correction=0).numpy(), optimum.mean_variance, atol=1e-12)
    np.testing.assert_allclose(q.log_variance[0].exp().numpy(), optimum.posterior_variance, rtol=1e-12)
    # What the model itself says, at samples of z.
    n_repeats = 100
    noise = torch.randn(n_repeats * len(x), latent_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = model.elbo_terms(torch.tensor(x).repeat(n_repeats, 1), noise)
    torch.testing.assert_close(terms.rate.mean(0), kl)
    by_repeat = terms.distortion.unflatten(0, (n_repeats, -1)).mean(1)
    assert abs(by_repeat.mean() - distortion) < 4 * by_repeat.std() / math.sqrt(n_repeats) + 1e-9


@CASES
def test_no_small_change_of_any_weight_improves_it(latent_size, weight, sigma):
    x, mean, covariance = data()
    model = optimal_model(covariance, mean, latent_size, weight, sigma)

    def objective() -> torch.Tensor:
        kl, distortion = expected_terms(model, x)
        return distortion + weight * kl.sum()

    best = objective().item()
    for parameter in model.requires_grad_(True).parameters():
        (gradient,) = torch.autograd.grad(objective(), parameter)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            original = parameter.clone()
            for index in range(parameter.numel()):
                for change in (-1e-2, 1e-2):
                    parameter.view(-1)[index] += change
                    assert objective().item() >= best - 1e-10
                    parameter.copy_(original)
        everything = [parameter.clone() for parameter in model.parameters()]
        for _ in range(200):
            for parameter, original in zip(model.parameters(), everything, strict=True):
                parameter.copy_(original + 0.03 * torch.randn(original.shape, generator=generator, dtype=torch.float64))
            assert objective().item() > best


@pytest.mark.parametrize(("weight", "sigma"), [(1.0, 0.5), (3.0, 0.5)])
def test_descent_from_anywhere_ends_there(weight, sigma):
    x, _, covariance = data()
    optimum = linear_optimum(covariance, 2, weight, sigma)
    model = build(Linear(), Gaussian(sigma=sigma), 256, 5, 2, seed=3).double().requires_grad_(True)
    parameters = list(model.parameters())

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.tensor(values), parameters)
        kl, distortion = expected_terms(model, x)
        loss = distortion + weight * kl.sum()
        return loss.item(), torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]).numpy()

    start = torch.nn.utils.parameters_to_vector(parameters).detach().numpy()
    end = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-15})
    assert objective(start)[0] > end.fun + 1
    assert end.fun == pytest.approx(optimum.distortion + weight * optimum.kl.sum(), abs=1e-6)
    torch.nn.utils.vector_to_parameters(torch.tensor(end.x), parameters)
    with torch.no_grad():
        kl, distortion = expected_terms(model, x)
    # The axes may come in any order.
    assert sorted(kl.tolist(), reverse=True) == pytest.approx(optimum.kl.tolist(), abs=1e-3)
    assert distortion.item() == pytest.approx(optimum.distortion, abs=1e-3)
