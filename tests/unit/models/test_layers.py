"""Building blocks of the networks."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from simulgen_pipeline.models.layers import (
    KERNEL_SIZE,
    DepthwiseConvolution,
    Downsample,
    ResidualBlock,
    ResidualMlp,
    Upsample,
    periodic,
)

LENGTHS = [1, 2, 7, 50]


def parameters_without_gradient(module: nn.Module) -> list[str]:
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def jacobian_in_time(function: Callable[[torch.Tensor], torch.Tensor], length: int) -> torch.Tensor:
    """Which output times depend on which input times (T_out, T_in)."""
    x = torch.randn(1, length, 4)
    jacobian = torch.autograd.functional.jacobian(function, x)
    return jacobian.abs().sum(dim=(0, 2, 3, 5)) > 0


@pytest.mark.parametrize("length", LENGTHS)
def test_a_depthwise_convolution_is_a_convolution_of_each_channel(length: int) -> None:
    layer = DepthwiseConvolution(4)
    x = torch.randn(3, length, 4)
    kernels = layer.convolution.weight.squeeze(-1)  # (C, 1, kernel)
    expected = F.conv1d(
        x.transpose(1, 2), kernels, layer.convolution.bias, padding=KERNEL_SIZE // 2, groups=4
    )
    torch.testing.assert_close(layer(x), expected.transpose(1, 2))


def test_a_depthwise_convolution_does_not_mix_channels() -> None:
    layer = DepthwiseConvolution(4)
    x = torch.randn(1, 9, 4)
    changed = x.clone()
    changed[..., 2] += 1
    difference = (layer(changed) - layer(x)).abs().sum(dim=(0, 1))
    assert (difference > 0).tolist() == [False, False, True, False]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("num_steering", [0, 6])
@pytest.mark.parametrize("spectral", [False, True])
def test_a_residual_block_keeps_the_shape_and_trains_all_parameters(
    length: int, num_steering: int, spectral: bool
) -> None:
    block = ResidualBlock(4, num_steering, spectral)
    x = torch.randn(3, length, 4)
    y = block(x, torch.randn(3, num_steering)) if num_steering else block(x)
    assert y.shape == x.shape
    (y * torch.randn_like(y)).sum().backward()
    assert parameters_without_gradient(block) == []


def test_a_residual_block_without_its_branch_is_the_identity() -> None:
    block = ResidualBlock(4)
    nn.init.zeros_(block.project.weight)
    nn.init.zeros_(block.project.bias)
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(block(x), x)


def test_steering_shifts_scales_and_gates_the_branch() -> None:
    block = ResidualBlock(4, 6)
    assert block.steer is not None
    nn.init.zeros_(block.steer.weight)
    nn.init.normal_(block.steer.bias)
    shift, scale, gate = block.steer.bias.chunk(3)
    x = torch.randn(2, 5, 4)
    branch = F.layer_norm(block.convolution(x), (4,)) * (1 + scale) + shift
    expected = x + (1 + gate) * block.project(torch.sin(2 * block.expand(branch)))
    torch.testing.assert_close(block(x, torch.randn(2, 6)), expected)


def test_steering_differs_from_design_to_design() -> None:
    block = ResidualBlock(4, 6)
    x = torch.randn(1, 5, 4).expand(2, -1, -1)
    first, second = block(x, torch.randn(2, 6))
    assert not torch.allclose(first, second)


def test_a_residual_block_sees_its_neighbouring_times_only() -> None:
    reach = jacobian_in_time(ResidualBlock(4), 12)
    distance = (torch.arange(12)[:, None] - torch.arange(12)).abs()
    assert torch.equal(reach, distance <= KERNEL_SIZE // 2)


def test_the_activation_is_a_sine_of_period_pi() -> None:
    x = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(periodic(x), torch.sin(2 * x))
    torch.testing.assert_close(periodic(x + torch.pi), periodic(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("length", "shorter"), [(1, 1), (2, 1), (7, 4), (50, 25)])
def test_downsampling_joins_pairs_of_steps(length: int, shorter: int) -> None:
    layer = Downsample(4, 3, shrink=True)
    x = torch.randn(2, length, 4)
    y = layer(x)
    assert y.shape == (2, shorter, 3)
    if length > 1:
        pair = x[:, :2].flatten(1)
        torch.testing.assert_close(y[:, 0], layer.project(pair))
    reach = jacobian_in_time(layer, length)
    assert torch.equal(reach, torch.arange(shorter)[:, None] == torch.arange(length) // 2)


@pytest.mark.parametrize("length", LENGTHS)
def test_without_shrinking_only_the_width_changes(length: int) -> None:
    layer = Downsample(4, 3, shrink=False)
    x = torch.randn(2, length, 4)
    torch.testing.assert_close(layer(x), layer.project(x))


@pytest.mark.parametrize(("length", "longer"), [(1, 1), (1, 2), (4, 7), (25, 50), (4, 4)])
def test_upsampling_interpolates_between_the_same_ends(length: int, longer: int) -> None:
    layer = Upsample(4, 3, length, longer)
    x = torch.randn(2, length, 4)
    y = layer(x)
    assert y.shape == (2, longer, 3)
    ends = layer.project(x)
    torch.testing.assert_close(y[:, 0], ends[:, 0])
    if length > 1:
        torch.testing.assert_close(y[:, -1], ends[:, -1])


def test_upsampling_keeps_a_straight_line() -> None:
    layer = Upsample(1, 1, 5, 9)
    nn.init.ones_(layer.project.weight)
    nn.init.zeros_(layer.project.bias)
    y = layer(torch.linspace(0, 1, 5).view(1, 5, 1))
    torch.testing.assert_close(y.flatten(), torch.linspace(0, 1, 9))


@pytest.mark.parametrize(("length", "longer"), [(1, 2), (4, 7), (13, 25)])
def test_upsampling_is_linear_interpolation(length: int, longer: int) -> None:
    layer = Upsample(4, 3, length, longer)
    x = torch.randn(2, length, 4, requires_grad=True)
    projected = layer.project(x).transpose(1, 2)
    known = F.interpolate(projected, size=longer, mode="linear", align_corners=True)
    wanted = torch.randn(2, longer, 3)
    torch.testing.assert_close(layer(x), known.transpose(1, 2))
    gradients = [torch.autograd.grad((y * wanted).sum(), x) for y in (layer(x), known.mT)]
    torch.testing.assert_close(*gradients)


def test_upsampling_keeps_nothing_but_what_it_learns() -> None:
    assert Upsample(4, 3, 4, 7).state_dict().keys() == {"project.weight", "project.bias"}


def test_upsampling_in_bfloat16_rounds_the_result_alone() -> None:
    layer, x = Upsample(4, 3, 4, 7), torch.randn(2, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        projected, y = layer.project(x), layer(x)
    known = F.interpolate(projected.float().mT, size=7, mode="linear", align_corners=True)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y, known.mT.bfloat16())


@pytest.mark.parametrize("filters", [(8,), (8, 8), (8, 6, 10)], ids=str)
def test_a_residual_mlp_has_its_widths_and_trains_all_parameters(filters: tuple[int, ...]) -> None:
    network = ResidualMlp(2, 5, filters)
    y = network(torch.randn(7, 2))
    assert y.shape == (7, 5)
    (y * torch.randn_like(y)).sum().backward()
    assert parameters_without_gradient(network) == []


def test_dropout_acts_in_training_only() -> None:
    network = ResidualMlp(2, 5, (32, 32), dropout=0.5)
    x = torch.randn(7, 2)
    assert not torch.allclose(network(x), network(x))
    network.eval()
    torch.testing.assert_close(network(x), network(x))


def test_a_residual_mlp_fits_a_function() -> None:
    x = torch.linspace(-1, 1, 32).unsqueeze(1)
    y = torch.cat([torch.sin(4 * x), x.square()], dim=1)
    network = ResidualMlp(1, 2, (32, 32))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(400):
        loss = F.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3
