"""M2 (Kingma et al. 2014b): a VAE whose decoder is told the class, and a classifier for where nobody tells it.

p(x, y, z) = p(x|y, z) p(y) p(z) with uniform p(y); q(y, z|x) = q(y|x) q(z|x, y). In nats per image, with C classes:

    labelled     L(x, y) = -E log p(x|y, z) + KL(q(z|x, y) ‖ p(z)) + ln C
    unlabelled   U(x)    = Σ_y q(y|x) L(x, y) - H(q(y|x))
                         = Σ_y q(y|x) (-E log p(x|y, z) + KL(q(z|x, y) ‖ p(z))) + KL(q(y|x) ‖ p(y))

so -L bounds log p(x, y), -U bounds log p(x), and both are a distortion and a rate. Of N images, N_l of them labelled, the
paper minimises J = Σ_labelled L + Σ_unlabelled U + α · mean_labelled(-log q(y|x)) with α = 0.1 · N. Here J / N is
minimised, (N_u / N) mean U + (N_l / N) mean L + (α / N) mean cross-entropy, so that the weight of the last is 0.1.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from vaebench.layers import ByClass, ConstantHead
from vaebench.likelihoods import Likelihood
from vaebench.model import VAE, ElboTerms, Posterior, Samples
from vaebench.networks import Network
from vaebench.streams import seeded


class M2(VAE):
    """As a VAE, with the class y as part of the code: a decoder takes z [..., B, Z] and y one-hot [..., B, C] side by side.

    y is summed out where bounds are computed, and the most probable class where an image needs one code. The weights are of
    the mean cross-entropy and of the mean bound of labelled images; the paper's are 0.1 and N_l / N.
    """

    encoder: ByClass

    def __init__(
        self,
        classifier: nn.Module,
        encoder: ByClass,
        decoder: nn.Module,
        likelihood: Likelihood,
        n_levels: int,
        latent_size: int,
        classifier_weight: float,
        labelled_weight: float,
    ):
        super().__init__(encoder, decoder, likelihood, n_levels, latent_size)
        self.classifier = classifier
        self.classifier_weight = classifier_weight
        self.labelled_weight = labelled_weight

    @property
    def n_classes(self) -> int:
        return self.encoder.n_classes

    @property
    def code_size(self) -> int:
        return self.latent_size + self.n_classes

    @property
    def of_images(self) -> tuple[nn.Module, ...]:
        return self.classifier, self.encoder

    def class_log_probabilities(self, x: Tensor) -> Tensor:
        """log q(y|x) of each class: [B, D] -> [B, C]."""
        return self.classifier(x).log_softmax(-1)

    def encode_by_class(self, x: Tensor) -> Posterior:
        """q(z|x, y) of each class y: [B, D] -> [C, B, Z]."""
        return Posterior(*self.encoder(x).chunk(2, dim=-1))

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x, y) at the most probable class y: [B, D] -> [B, Z]."""
        best = self.class_log_probabilities(x).argmax(-1)[..., None, :, None]
        return Posterior(*(values.take_along_dim(best, -3).squeeze(-3) for values in self.encode_by_class(x)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """x: [B, D] in [0, 1] -> the mean images at the most probable class and its posterior mean of z, [B, D]."""
        best = self.class_log_probabilities(x).argmax(-1)
        return self.mean_images(torch.cat([self.encode(x).mean, self._one_hot(best)], dim=-1))

    def codes(self, z: Tensor, random: Generator) -> Tensor:
        """Classes are drawn from p(y), beside draws of z from p(z): [n, Z] -> [n, Z + C]."""
        drawn = torch.randint(self.n_classes, z.shape[:-1], generator=random, device=random.device)
        return torch.cat([z, self._one_hot(drawn)], dim=-1)

    def elbo_terms(self, x: Tensor, noise: Tensor) -> ElboTerms:
        """Those of U(x), which sum to it: noise [B, Z] is the same for all classes. The posterior is `encode`'s.

        rate: [B, Z + 1], in expectation over q(y|x) by dimension of z, and last KL(q(y|x)‖p(y)).
        """
        rate, distortion = self._unlabelled_terms(x, noise, self.class_log_probabilities(x))
        return ElboTerms(self.encode(x), rate, distortion)

    def rates(self, x: Tensor) -> Tensor:
        """The same rates alone, in float64: [B, D] -> [B, Z + 1]."""
        log_q = self.class_log_probabilities(x).double()
        return self._unlabelled_rate(self.encode_by_class(x).double(), log_q)

    def importance_samples(self, x: Tensor, noise: Tensor) -> Samples:
        """x [B, D], noise [K, B, Z] from N(0, I) -> K samples of z an image for every class, and y summed out.

        parameters: of the most probable class. log_likelihood: Σ_y q(y|x) log p(x|y, z). log_weight:
        log Σ_y p(x|y, z) p(y) p(z) / q(z|x, y); the mean of its exponentials is an unbiased estimate of p(x).
        """
        posteriors = Posterior(*(values.unsqueeze(-3) for values in self.encode_by_class(x)))
        noise = noise.unsqueeze(-4)
        z = posteriors.sample(noise)  # [C, K, B, Z]
        # Samples and images share one axis.
        parameters = self._decode_by_class(z.flatten(-3, -2)).unflatten(-2, z.shape[-3:-1])
        log_likelihood = self.log_likelihood(parameters, x)
        log_weight = log_likelihood + posteriors.log_prior_ratio(noise) - math.log(self.n_classes)
        log_q = self.class_log_probabilities(x)
        best = log_q.argmax(-1)[..., None, None, :, None]
        expected = (log_q.exp().mT.unsqueeze(-2) * log_likelihood).sum(-3)
        return Samples(parameters.take_along_dim(best, -4).squeeze(-4), expected, log_weight.logsumexp(-3))

    def training_terms(
        self,
        x: Tensor,
        noise: Tensor,
        is_unlabelled: Tensor,
        labelled_x: Tensor,
        y: Tensor,
        labelled_noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Means that estimate J / N with these weights: its rate [Z + 1], distortion [] and classifier's term [].

        x [B, D] are of all training images, those that count as unlabelled marked by 1 in is_unlabelled [B], by 0 the
        others; labelled_x [M, D] are of the labelled ones, with y one-hot [M, C].
        """
        rate, distortion = self._unlabelled_terms(x, noise, self.class_log_probabilities(x))
        labelled_rate, labelled_distortion = self._labelled_terms(labelled_x, y, labelled_noise)
        rate = (is_unlabelled.unsqueeze(-1) * rate).mean(-2) + self.labelled_weight * labelled_rate.mean(-2)
        distortion = (is_unlabelled * distortion).mean(-1) + self.labelled_weight * labelled_distortion.mean(-1)
        cross_entropy = -(y * self.class_log_probabilities(labelled_x)).sum(-1).mean(-1)
        return rate, distortion, self.classifier_weight * cross_entropy

    def _unlabelled_terms(self, x: Tensor, noise: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """Rate [B, Z + 1] and distortion [B], which sum to U(x)."""
        posteriors = self.encode_by_class(x)
        parameters = self._decode_by_class(posteriors.sample(noise.unsqueeze(-3)))
        log_likelihood = self.log_likelihood(parameters, x.unsqueeze(-3))
        return self._unlabelled_rate(posteriors, log_q), -(log_q.exp().mT * log_likelihood).sum(-2)

    def _unlabelled_rate(self, posteriors: Posterior, log_q: Tensor) -> Tensor:
        """posteriors [C, B, Z], log_q [B, C] -> [B, Z + 1]."""
        q = log_q.exp()
        of_z = (q.mT.unsqueeze(-1) * posteriors.kl_per_dimension()).sum(-3)
        of_class = (q * (log_q + math.log(self.n_classes))).sum(-1, keepdim=True)
        return torch.cat([of_z, of_class], dim=-1)

    def _labelled_terms(self, x: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Rate [M, Z + 1] and distortion [M], which sum to L(x, y)."""
        posterior = Posterior(*self.encoder.at(x, y).chunk(2, dim=-1))
        parameters = self.decode(torch.cat([posterior.sample(noise), y], dim=-1))
        of_z = posterior.kl_per_dimension()
        of_class = of_z.new_full((*of_z.shape[:-1], 1), math.log(self.n_classes))
        return torch.cat([of_z, of_class], dim=-1), -self.log_likelihood(parameters, x)

    def _decode_by_class(self, z: Tensor) -> Tensor:
        """z [C, B, Z] of each class -> [C, B, P]."""
        y = self._one_hot(torch.arange(self.n_classes, device=z.device)).unsqueeze(-2).expand(*z.shape[:-1], -1)
        return self.decode(torch.cat([z, y], dim=-1).flatten(-3, -2)).unflatten(-2, z.shape[-3:-1])

    def _one_hot(self, labels: Tensor) -> Tensor:
        """[...] -> [..., C]."""
        like = next(self.parameters())
        return nn.functional.one_hot(labels, self.n_classes).to(like)


def build_m2(
    network: Network,
    likelihood: Likelihood,
    n_levels: int,
    n_pixels: int,
    latent_size: int,
    n_classes: int,
    seed: int,
    classifier_weight: float,
    labelled_weight: float,
) -> M2:
    """A fresh model whose starting weights are a function of the seed and the shapes alone."""
    with seeded(seed, "init"):
        classifier = network.classifier(n_pixels, n_classes)
        encoder = network.encoder_by_class(n_pixels, n_classes, latent_size)
        decoder = network.decoder(latent_size + n_classes, n_pixels * likelihood.outputs_per_pixel)
    if likelihood.shared_outputs:
        decoder = ConstantHead(decoder, likelihood.shared_outputs)
    parts = (classifier, encoder, decoder)
    return M2(*parts, likelihood, n_levels, latent_size, classifier_weight, labelled_weight).requires_grad_(False)
