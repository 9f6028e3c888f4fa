"""Reconstruction losses per design, against PyTorch's and closed forms."""

from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from simulgen_pipeline.training.config import Loss
from simulgen_pipeline.training.losses import (
    NodeLift,
    reconstruction_loss,
    squared_relative_error,
)

BATCH, TIMES, CHANNELS, NODES = 4, 6, 5, 40
LOSSES: tuple[Loss, ...] = get_args(Loss)
REFERENCES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
}


@pytest.fixture
def error() -> torch.Tensor:
    return 2 * torch.randn(BATCH, TIMES, CHANNELS)


@pytest.fixture
def norms() -> torch.Tensor:
    return torch.tensor([0.5, 1.0, 3.0, 100.0])


@pytest.fixture
def modes() -> torch.Tensor:
    """(C, M) orthonormal rows."""
    return torch.linalg.qr(torch.randn(NODES, CHANNELS))[0].T.contiguous()


@pytest.mark.parametrize("loss", LOSSES)
def test_plain_losses_are_pytorchs_of_each_design(
    error: torch.Tensor, norms: torch.Tensor, loss: Loss
) -> None:
    found = reconstruction_loss(error, norms, loss, relative=False)
    expected = [REFERENCES[loss](e, torch.zeros_like(e)) for e in error]
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("loss", LOSSES)
def test_plain_losses_do_not_depend_on_norms(
    error: torch.Tensor, norms: torch.Tensor, loss: Loss
) -> None:
    found = reconstruction_loss(error, norms, loss, relative=False)
    torch.testing.assert_close(reconstruction_loss(error, 9 * norms, loss, relative=False), found)


def test_the_squared_relative_error_is_the_ratio_of_squared_norms(
    error: torch.Tensor, norms: torch.Tensor
) -> None:
    expected = torch.linalg.norm(error.flatten(1), dim=1).square() / norms.square()
    torch.testing.assert_close(squared_relative_error(error, norms), expected)


def test_relative_mse_is_the_relative_l2_error(error: torch.Tensor, norms: torch.Tensor) -> None:
    expected = torch.linalg.norm(error.flatten(1), dim=1) / norms
    found = reconstruction_loss(error, norms, "mse", relative=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ["smooth_l1", "huber"])
def test_relative_losses_are_relative_l2_errors_where_errors_are_small(
    error: torch.Tensor, norms: torch.Tensor, loss: Loss
) -> None:
    small = 1e-2 * error
    found = reconstruction_loss(small, norms, loss, relative=True)
    expected = reconstruction_loss(small, norms, "mse", relative=True)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", ["mae", "smooth_l1", "huber"])
def test_relative_losses_are_of_errors_in_units_of_the_fields_root_mean_square(
    error: torch.Tensor, norms: torch.Tensor, loss: Loss
) -> None:
    size = norms / (TIMES * CHANNELS) ** 0.5
    scaled = error / size.view(-1, 1, 1)
    expected = torch.stack([REFERENCES[loss](e, torch.zeros_like(e)) for e in scaled])
    if loss != "mae":
        expected = (2 * expected).sqrt()
    found = reconstruction_loss(error, norms, loss, relative=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_mse_in_pod_coefficients_is_mse_of_the_lifted_nodes(
    error: torch.Tensor, norms: torch.Tensor, modes: torch.Tensor
) -> None:
    nodes = error @ modes
    torch.testing.assert_close(
        reconstruction_loss(error, norms, "mse", relative=True),
        reconstruction_loss(nodes, norms, "mse", relative=True),
    )
    # The mean goes over C channels or M nodes; the sums agree.
    torch.testing.assert_close(
        CHANNELS * reconstruction_loss(error, norms, "mse", relative=False),
        NODES * reconstruction_loss(nodes, norms, "mse", relative=False),
    )


@pytest.mark.parametrize("loss", ["mae", "smooth_l1", "huber"])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_other_losses_are_taken_over_nodes(
    error: torch.Tensor, norms: torch.Tensor, modes: torch.Tensor, loss: Loss, scale: float
) -> None:
    lift = scale * modes
    torch.testing.assert_close(
        reconstruction_loss(error, norms, loss, relative=False, lift=NodeLift(lift)),
        reconstruction_loss(error @ lift, norms, loss, relative=False),
    )


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The errors that were lifted."""
    seen: list[torch.Tensor] = []
    forward = NodeLift.forward

    def watched(self: NodeLift, error: torch.Tensor) -> torch.Tensor:
        seen.append(error)
        return forward(self, error)

    monkeypatch.setattr(NodeLift, "forward", watched)
    return seen


@pytest.mark.parametrize("loss", ["smooth_l1", "huber"])
def test_times_that_are_not_lifted_count_as_if_they_were(
    norms: torch.Tensor, modes: torch.Tensor, loss: Loss, lifted: list[torch.Tensor]
) -> None:
    """Errors of which one node has most: below the limit there, just above it, and far beyond."""
    farthest = modes.norm(dim=0).argmax()
    pattern = modes[:, farthest] / modes[:, farthest].square().sum()  # 1 at that node, at most
    sizes = torch.tensor([0.0, 0.1, 0.99, 1.01, 3.0, 30.0])
    error = (sizes[:, None] * pattern).expand(BATCH, TIMES, CHANNELS)
    found, expected = (error.clone().requires_grad_() for _ in range(2))
    of_lifted = reconstruction_loss(found, norms, loss, False, NodeLift(modes))
    of_nodes = reconstruction_loss(expected @ modes, norms, loss, False)
    assert [len(rows) for rows in lifted] == [3 * BATCH]
    (of_lifted * norms).sum().backward()
    (of_nodes * norms).sum().backward()
    torch.testing.assert_close(of_lifted, of_nodes)
    torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0.1, 3.0], ids=["none lifted", "some lifted"])
def test_losses_of_nodes_are_float32_under_autocast(
    error: torch.Tensor, norms: torch.Tensor, modes: torch.Tensor, loss: Loss, size: float
) -> None:
    lift = NodeLift(modes)
    with torch.autocast("cpu", torch.bfloat16):
        found = reconstruction_loss(size * error, norms, loss, False, lift)
    assert found.dtype == torch.float32
    exact = reconstruction_loss(size * error, norms, loss, False, lift)
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_relative_losses_do_not_depend_on_the_unit_of_channels(
    error: torch.Tensor, norms: torch.Tensor, modes: torch.Tensor, loss: Loss, scale: float
) -> None:
    """Norms are in channel units, the lift has the length of a unit: a node's error is relative."""
    lift = scale * modes
    nodes = error @ lift
    expected = reconstruction_loss(nodes, scale * norms, loss, relative=True)
    found = reconstruction_loss(error, norms, loss, relative=True, lift=NodeLift(lift))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("relative", [False, True])
def test_a_perfect_reconstruction_has_no_loss_and_a_finite_gradient(
    norms: torch.Tensor, loss: Loss, relative: bool
) -> None:
    error = torch.zeros(BATCH, TIMES, CHANNELS, requires_grad=True)
    found = reconstruction_loss(error, norms, loss, relative)
    assert found.detach().abs().max() <= 1.001e-4  # the rounding of a root differs by CPU
    found.sum().backward()
    assert torch.isfinite(error.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("relative", [False, True])
def test_losses_of_half_precision_errors_are_computed_in_float32(
    error: torch.Tensor, norms: torch.Tensor, loss: Loss, relative: bool
) -> None:
    half = error.bfloat16()
    found = reconstruction_loss(half, norms, loss, relative)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, reconstruction_loss(half.float(), norms, loss, relative))


@pytest.mark.parametrize("loss", LOSSES)
def test_designs_do_not_influence_one_another(
    error: torch.Tensor, norms: torch.Tensor, modes: torch.Tensor, loss: Loss
) -> None:
    lift = NodeLift(modes)
    together = reconstruction_loss(error, norms, loss, True, lift)
    alone = reconstruction_loss(error[2:3], norms[2:3], loss, True, lift)
    torch.testing.assert_close(alone, together[2:3])
