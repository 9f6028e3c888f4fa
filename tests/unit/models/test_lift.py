"""Mean and variance of members' fields, against NumPy's on the fields themselves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import FieldScaler
from simulgen_pipeline.models import lift
from simulgen_pipeline.models.latents import Latents, VaeArchitecture
from simulgen_pipeline.models.lift import Lift
from simulgen_pipeline.models.vae import Decoder


def representation_of(
    fields: NDArray[np.float64], reduced: bool, scaling: str = "centred"
) -> FieldRepresentation:
    scaler = FieldScaler(scaling).fit([fields])  # type: ignore[arg-type]
    if not reduced:
        return FieldRepresentation(scaler, None)
    basis = PodBasis(1e-6).fit(lambda: iter([scaler.transform(fields)]))
    return FieldRepresentation(scaler, basis)


def decoder_of(
    fields: NDArray[np.float64],
    representation: FieldRepresentation,
    filters: tuple[int, ...] = (6, 4),
    time_patch: int = 1,
) -> Decoder:
    """One that tells about as much as such fields vary, whose weights are random."""
    architecture = VaeArchitecture(
        num_time_steps=fields.shape[1],
        num_channels=representation.num_channels,
        filters=filters,
        num_blocks=1,
        time_patch=time_patch,
        latent_size=4,
        hierarchical_latent_size=2,
        spectral_normalisation=False,
    )
    torch.manual_seed(0)
    decoder = Decoder(architecture).eval().requires_grad_(False)
    spread = float(representation.transform(fields).std())
    for parameter in decoder.out.parameters():
        parameter.mul_(spread)
    if decoder.modes is not None:
        torch.nn.init.normal_(decoder.modes, std=spread)
    return decoder


def latents_of(decoder: Decoder, num_members: int, num_designs: int) -> Latents:
    a = decoder.architecture
    generator = torch.Generator().manual_seed(1)
    shapes = (a.latent_size,), (a.num_hierarchical, a.hierarchical_latent_size)
    return Latents(
        *(torch.randn(num_members, num_designs, *shape, generator=generator) for shape in shapes)
    )


def members_of(
    representation: FieldRepresentation, decoder: Decoder, latents: Latents
) -> NDArray[np.float64]:
    """Their fields (K, n, T, M), one by one and in double precision."""
    return np.stack(
        [
            representation.inverse_transform(decoder(Latents(*member)).double().numpy())
            for member in zip(*latents, strict=True)
        ]
    )


def moments(
    representation: FieldRepresentation, decoder: Decoder, latents: Latents
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """In the field's unit."""
    shape = (
        latents.main.shape[1],
        decoder.architecture.num_time_steps,
        representation.num_nodes,
    )
    mean, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    prepared = Lift(representation, decoder)
    prepared.moments(latents, mean, variance)
    unit = prepared.unit
    return unit * mean.astype(np.float64), unit**2 * variance.astype(np.float64)


@pytest.mark.parametrize("fast", [True, False], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("in_parts", [False, True], ids=["at once", "by designs and few nodes"])
@pytest.mark.parametrize("scaling", ["centred", "min_max"])
@pytest.mark.parametrize("reduced", [True, False], ids=["pod", "nodes"])
@pytest.mark.parametrize("num_members", [1, 2, 5])
@pytest.mark.parametrize("kind", ["features", "channels", "patches", "static"])
def test_moments_are_those_of_the_members_fields(
    pulse: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    num_members: int,
    reduced: bool,
    scaling: str,
    in_parts: bool,
    fast: bool,
) -> None:
    """With fewer features than channels, with more, with patches of time steps, and one step."""
    if in_parts:
        monkeypatch.setattr(lift, "NUM_AT_ONCE", 50)
        monkeypatch.setattr(lift, "FEWEST_NODES", 3)
        monkeypatch.setattr(lift, "FEWEST_STEPS", 1)
    monkeypatch.setattr(lift, "multiplies_bfloat16_fast", lambda: fast)
    fields = pulse.fields.astype(np.float64)[:, : 1 if kind == "static" else None]
    representation = representation_of(fields, reduced, scaling)
    values: dict[str, Any] = {"time_patch": 2} if kind == "patches" else {}
    if kind == "channels":
        values = {"filters": (representation.num_channels + 3,) * 2}
    decoder = decoder_of(fields, representation, **values)
    prepared = Lift(representation, decoder)
    assert (prepared.num_lifted == 6) == (kind == "features")
    latents = latents_of(decoder, num_members, num_designs=3)
    known = members_of(representation, decoder, latents)
    mean, variance = moments(representation, decoder, latents)
    np.testing.assert_allclose(mean, known.mean(axis=0), atol=1e-5 * np.abs(known).max())
    std = known.std(axis=0, ddof=1) if num_members > 1 else np.zeros_like(mean)
    is_product = reduced or kind == "features"
    rounding = 0.01 if fast and is_product else 1e-4
    np.testing.assert_allclose(np.sqrt(variance), std, atol=rounding * std.max())


@pytest.mark.parametrize("size", [1e-25, 1e25])
@pytest.mark.parametrize("scaling", ["centred", "min_max"])
def test_fields_may_be_given_in_any_unit(pulse: SimpleNamespace, size: float, scaling: str) -> None:
    fields = size * pulse.fields.astype(np.float64)
    fields[:, :, 0] = 0.0  # a node that is held
    representation = representation_of(fields, reduced=True, scaling=scaling)
    decoder = decoder_of(fields, representation)
    latents = latents_of(decoder, num_members=3, num_designs=2)
    known = members_of(representation, decoder, latents)
    mean, variance = moments(representation, decoder, latents)
    np.testing.assert_allclose(mean, known.mean(axis=0), atol=1e-5 * np.abs(known).max())
    std = known.std(axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt(variance), std, atol=1e-2 * std.max())
