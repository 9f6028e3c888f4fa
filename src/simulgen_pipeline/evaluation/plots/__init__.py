"""Figures of fields, errors, training and latents; pure functions that return a figure."""

from .design_errors import plot_error_per_design
from .latents import plot_latents
from .loss_curves import plot_loss_curves
from .over_mesh import plot_over_mesh, representative_times
from .over_time import plot_over_time, representative_nodes
from .peaks import Peaks, plot_peaks

__all__ = [
    "Peaks",
    "plot_error_per_design",
    "plot_latents",
    "plot_loss_curves",
    "plot_over_mesh",
    "plot_over_time",
    "plot_peaks",
    "representative_nodes",
    "representative_times",
]
