"""Networks that are prepared for prediction tell what the networks themselves tell."""

from typing import Any, TypeVar

import pytest
import torch
from torch import nn

from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import Latents, VaeArchitecture, posterior_from
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.prepared import PreparedConditioner, PreparedDecoder, PreparedMlps
from simulgen_pipeline.models.vae import Decoder

Network = TypeVar("Network", bound=nn.Module)
VAE = VaeArchitecture(
    num_time_steps=12,
    num_channels=5,
    filters=(10, 8, 6),
    num_blocks=1,
    latent_size=4,
    hierarchical_latent_size=2,
    spectral_normalisation=False,
)


def as_trained(network: Network) -> Network:
    """Weights a little off where training starts, where some are zero or one; to predict with."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("filters", [(8,), (8, 8), (16, 8, 12)], ids=str)
@pytest.mark.parametrize("num_networks", [1, 3])
@pytest.mark.parametrize("num_designs", [1, 5])
def test_networks_side_by_side(
    filters: tuple[int, ...], num_networks: int, num_designs: int
) -> None:
    networks = [as_trained(ResidualMlp(2, 7, filters, dropout=0.5)) for _ in range(num_networks)]
    designs = torch.randn(num_designs, 2)
    told = PreparedMlps(networks)(designs)
    known = torch.stack([network(designs) for network in networks])
    torch.testing.assert_close(told, known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "vit"])
@pytest.mark.parametrize("base_filters", [None, (6,)], ids=["alone", "on a base"])
def test_a_conditioner(kind: str, base_filters: tuple[int, ...] | None) -> None:
    values: dict[str, Any] = {"kind": kind, "base_filters": base_filters}
    if kind != "mlp":
        values |= {"num_channels": 1, "image_size": 32}
    architecture = ConditionerArchitecture(
        num_features=2, filters=(16, 16), dropout=0.1, num_members=3, **values
    )
    conditioner = as_trained(Conditioner(architecture, VAE))
    designs = torch.randn(4, 2)
    pictures = None
    if kind != "mlp":
        pictures = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    parameters = PreparedConditioner(conditioner)(designs, pictures)
    told = posterior_from(parameters.flatten(0, 1), VAE).mean().flat()
    known = torch.cat([each.mean().flat() for each in conditioner(designs, pictures)])
    torch.testing.assert_close(told, known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_times", [1, 2, 3, 12, 50])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"num_blocks": 3},
        {"filters": (6, 6)},
        {"spectral_normalisation": True},
        {"time_patch": 2},
        {"hierarchical_latent_size": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_decoders_features(num_times: int, values: dict[str, Any], batch: int) -> None:
    architecture = VAE.model_copy(update={"num_time_steps": num_times, **values})
    decoder = as_trained(Decoder(architecture))
    a = architecture
    latents = Latents(
        torch.randn(batch, a.latent_size),
        torch.randn(batch, a.num_hierarchical, a.hierarchical_latent_size),
    )
    prepared = PreparedDecoder(decoder)
    for _ in range(2):  # nothing of it is changed by being used
        torch.testing.assert_close(
            prepared(latents), decoder.features(latents), rtol=1e-5, atol=1e-5
        )
