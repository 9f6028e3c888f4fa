"""Figures of fields, errors, training and latents; pure functions that return a figure."""

from .design_errors import plot_error_per_design
from .latents import plot_latents
from .learning_curve import plot_learning_curve
from .loss_curves import plot_loss_curves
from .over_mesh import plot_over_mesh, representative_times
from .over_time import plot_over_time, representative_nodes
from .peaks import Peaks, plot_peaks
from .repeated_splits import plot_repeated_splits
from .worst import plot_worst

__all__ = [
    "Peaks",
    "plot_error_per_design",
    "plot_latents",
    "plot_learning_curve",
    "plot_loss_curves",
    "plot_over_mesh",
    "plot_over_time",
    "plot_peaks",
    "plot_repeated_splits",
    "plot_worst",
    "representative_nodes",
    "representative_times",
]
