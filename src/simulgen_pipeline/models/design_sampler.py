"""Designs drawn at random: like those of training, or all over the space that they lie in.

Shapes: B batch, N training designs, P features, Q noise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# How far beyond the box of the training designs is explored, as a share of it.
MARGIN = 0.05
# Noise of mixtures, in units of the features' spread.
JITTER = 0.1


def designs_as_in_training(
    training_designs: Float[Tensor, "N P"], noise: Float[Tensor, "B P"]
) -> Float[Tensor, "B P"]:
    """Designs from standard normal numbers, each feature on its own as the training designs have
    it: by the quantiles of its values, between which it is interpolated.
    """
    ordered = training_designs.sort(dim=0).values
    rank = torch.special.ndtr(noise) * (len(ordered) - 1)
    below = rank.long().clamp_max(len(ordered) - 2)
    return torch.lerp(ordered.gather(0, below), ordered.gather(0, below + 1), rank - below)


class DesignExplorer(nn.Module):
    """Draws designs all over the space of the training designs, to learn from.

    Parameters are drawn evenly, from a little beyond the training range. Pictures are features that
    are nothing each on its own: theirs are mixtures of those of two training designs, and a little
    noise.
    """

    def __init__(self, training_designs: Float[Tensor, "N P"], mix: bool) -> None:
        super().__init__()
        self.mix = mix
        self.training_designs: Tensor
        self.register_buffer("training_designs", training_designs, persistent=False)
        # Place in the range or noise, two designs, the share of the second.
        self.noise_size = training_designs.shape[1] + 3

    def forward(self, noise: Float[Tensor, "B Q"]) -> Float[Tensor, "B P"]:
        """Designs from standard normal numbers."""
        place, mixture = noise.split([self.noise_size - 3, 3], dim=-1)
        if self.mix:
            jitter: Tensor = JITTER * self.training_designs.std(dim=0) * place
            return self._mixed(mixture) + jitter
        low, high = self.training_designs.aminmax(dim=0)
        reach = (1 + MARGIN) * (high - low) / 2
        inside: Tensor = (low + high) / 2 + reach * (2 * torch.special.ndtr(place) - 1)
        return inside

    def _mixed(self, mixture: Float[Tensor, "B 3"]) -> Float[Tensor, "B P"]:
        known = self.training_designs
        first, second, share = torch.special.ndtr(mixture).unbind(dim=-1)
        a, b = (
            known[(chosen * len(known)).long().clamp_max(len(known) - 1)]
            for chosen in (first, second)
        )
        mixed: Tensor = a + share.unsqueeze(-1) * (b - a)
        return mixed
