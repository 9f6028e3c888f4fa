"""A trained VAE and conditioner to a calibrated surrogate, its errors and their pictures."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes


def create_assembly() -> Pipeline:
    """Baselines and the surrogate."""
    return Pipeline(
        [
            Node(
                nodes.fit_baselines,
                ["fields", "design_table", "vae", "params:baselines"],
                "baselines",
                name="fit_baselines",
            ),
            Node(
                nodes.assemble_surrogate,
                [
                    "vae",
                    "conditioner",
                    "refitted_conditioner",
                    "cross_fitted_conditioners",
                    "baselines",
                    "fields",
                    "design_table",
                    "params:baselines",
                ],
                "surrogate",
                name="assemble_surrogate",
            ),
            Node(
                nodes.evaluate,
                [
                    "surrogate",
                    "cross_fitted_conditioners",
                    "baselines",
                    "latents",
                    "fields",
                    "design_table",
                ],
                ["metrics", "design_errors", "node_errors", "time_errors"],
                name="evaluate",
            ),
        ],
        tags="evaluation",
    )


def create_plots() -> Pipeline:
    """Pictures of a full training."""
    return Pipeline(
        [
            Node(
                nodes.draw_over_time,
                [
                    "surrogate",
                    "cross_fitted_conditioners",
                    "latents",
                    "fields",
                    "design_table",
                    "design_errors",
                ],
                "plot_over_time",
                name="draw_over_time",
            ),
            Node(
                nodes.draw_over_mesh,
                [
                    "surrogate",
                    "cross_fitted_conditioners",
                    "fields",
                    "design_table",
                    "design_errors",
                ],
                "plot_over_mesh",
                name="draw_over_mesh",
            ),
            Node(
                nodes.draw_design_errors,
                "design_errors",
                "plot_design_errors",
                name="draw_design_errors",
            ),
            Node(
                nodes.draw_peaks,
                ["fields", "design_errors"],
                "plot_peaks",
                name="draw_peaks",
            ),
            Node(
                nodes.draw_worst,
                ["fields", "node_errors", "time_errors"],
                "plot_worst",
                name="draw_worst",
            ),
            Node(
                nodes.draw_conditioner_losses,
                ["conditioner_training_history", "refit_training_history"],
                "plot_conditioner_losses",
                name="draw_conditioner_losses",
            ),
            Node(
                nodes.draw_latents,
                ["latents", "design_table", "split", "vae"],
                "plot_latents",
                name="draw_latents",
            ),
        ],
        tags="plots",
    )


def create_vae_plots() -> Pipeline:
    """Pictures of the VAE's training."""
    return Pipeline(
        [
            Node(
                nodes.draw_vae_losses,
                "vae_training_history",
                "plot_vae_losses",
                name="draw_vae_losses",
            )
        ],
        tags="plots",
    )
