"""Designs like those of training, drawn at random.

Shapes: B batch, N training designs, P features, Q noise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# How far beyond the box of the training designs a widened sampler reaches, as a share of it.
MARGIN = 0.05
# Noise of its mixtures, in units of the features' spread.
JITTER = 0.1


class DesignSampler(nn.Module):
    """Draws designs like those of training.

    Parameters are sampled in the box of the training designs. Pictures have no box: their features
    are mixtures of those of two training designs. A widened sampler goes a little further: beyond
    the box, or off the line between the two.
    """

    def __init__(
        self, training_designs: Float[Tensor, "N P"], mix: bool, widened: bool = False
    ) -> None:
        super().__init__()
        self.mix, self.widened = mix, widened
        self.training_designs: Tensor
        self.register_buffer("training_designs", training_designs, persistent=False)
        # Place in the box or noise, two designs, the share of the second.
        self.noise_size = training_designs.shape[1] + 3

    def forward(self, noise: Float[Tensor, "B Q"]) -> Float[Tensor, "B P"]:
        """Designs from standard normal numbers."""
        known, (place, mixture) = self.training_designs, noise.split([self.noise_size - 3, 3], -1)
        if not self.mix:
            low, high = known.aminmax(dim=0)
            reach = (1 + MARGIN if self.widened else 1.0) * (high - low) / 2
            inside: Tensor = (low + high) / 2 + reach * (2 * torch.special.ndtr(place) - 1)
            return inside
        first, second, share = torch.special.ndtr(mixture).unbind(dim=-1)
        a, b = (
            known[(chosen * len(known)).long().clamp_max(len(known) - 1)]
            for chosen in (first, second)
        )
        mixed: Tensor = a + share.unsqueeze(-1) * (b - a)
        if not self.widened:
            return mixed
        jittered: Tensor = mixed + JITTER * known.std(dim=0) * place
        return jittered
