"""The VAE of PyTorch's own example, with which people start."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainVAE(nn.Module):
    """One hidden layer with ReLU each way; the decoder ends with a sigmoid."""

    def __init__(self, n_pixels: int, width: int, latent_size: int):
        super().__init__()
        self.hidden = nn.Linear(n_pixels, width)
        self.mean, self.log_variance = nn.Linear(width, latent_size), nn.Linear(width, latent_size)
        self.decoder_hidden, self.output = nn.Linear(latent_size, width), nn.Linear(width, n_pixels)

    def loss(self, x: Tensor) -> Tensor:
        """Binary cross-entropy plus rate of x [B, D], mean over the batch."""
        hidden = functional.relu(self.hidden(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        reconstruction = torch.sigmoid(self.output(functional.relu(self.decoder_hidden(z))))
        distortion = functional.binary_cross_entropy(reconstruction, x, reduction="sum")
        rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return (distortion + rate) / len(x)
