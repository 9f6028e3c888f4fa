"""The prior of a trained VAE's latents that new simulations are drawn from.

The KL has so little weight in training that latents do not lie where N(0, I) is: decoded from
there, a field is no simulation. The prior is therefore fitted after training, to where the latents
are (ex-post density estimation, Ghosh et al. 2020, "From variational to deterministic
autoencoders", ICLR, section 4).

Shapes: n samples, N training designs, Q all latents of a design.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from sklearn.covariance import LedoitWolf
from torch import Tensor

from .design_sampler import designs_as_in_training
from .latents import Latents, as_latents, posterior_from
from .layers import ResidualMlp
from .trained import LatentArrays, StoredLatents, TrainedVae


def sample_latents(
    vae: TrainedVae, latents: StoredLatents, num_samples: int, seed: int
) -> LatentArrays:
    """Draw latents whose decoded fields are like the simulations of training.

    A VAE that was trained with a posterior given the design has the prior
    p(z) = integral of q(z | design) p(design): a design like those of training is drawn, then its
    latents. Otherwise p(z) is a Gaussian fitted to the latents of the training designs, with a
    shrunk covariance (Ledoit & Wolf 2004).

    Args:
        vae: the trained VAE.
        latents: of all designs of its split, by row number; those of the training part are used,
            where there is no posterior given the design.
        num_samples: n.
        seed: fixes the samples. A larger `num_samples` only adds to them.
    """
    rng = np.random.default_rng(seed)
    if vae.design_posterior is None:
        rows = list(vae.split.train)
        known = Latents(*(torch.from_numpy(part[rows]) for part in latents.values)).flat()
        drawn = as_latents(_like(known, num_samples, rng), vae.network.architecture)
    else:
        drawn = _of_designs(vae, vae.design_posterior, num_samples, rng)
    return LatentArrays(*(part.numpy() for part in drawn))


def _like(
    known: Float[Tensor, "N Q"], num_samples: int, rng: np.random.Generator
) -> Float[Tensor, "n Q"]:
    fitted = LedoitWolf().fit(known.double().numpy())
    drawn = rng.multivariate_normal(
        fitted.location_, fitted.covariance_, size=num_samples, method="eigh"
    )
    return torch.from_numpy(drawn.astype(np.float32))


def _of_designs(
    vae: TrainedVae, design_posterior: ResidualMlp, num_samples: int, rng: np.random.Generator
) -> Latents:
    decoder, architecture = vae.network.decoder, vae.network.architecture
    known = torch.from_numpy(vae.training_designs)
    sizes = [known.shape[1], architecture.num_latents]
    noise = rng.standard_normal((num_samples, sum(sizes)), dtype=np.float32)
    design_noise, latent_noise = torch.from_numpy(noise).split(sizes, dim=-1)
    posterior = posterior_from(
        design_posterior(designs_as_in_training(known, design_noise)), architecture
    )
    return decoder.latents(posterior.sample(as_latents(latent_noise, architecture)))
