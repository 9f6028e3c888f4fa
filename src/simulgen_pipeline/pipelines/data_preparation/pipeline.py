"""Raw files to channels: what every training starts from."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes

TAG = "data_preparation"


def create_ingestion() -> Pipeline:
    """The user's files in canonical form."""
    return Pipeline(
        [
            Node(
                nodes.ingest_simulations,
                ["simulations", "params:data"],
                "fields",
                name="ingest_simulations",
            ),
            Node(
                nodes.ingest_designs,
                ["designs", "fields", "simulations", "params:conditioner"],
                "design_table",
                name="ingest_designs",
            ),
        ],
        tags=TAG,
    )


def create_projection() -> Pipeline:
    """Fields to channels, once a representation is known."""
    return Pipeline(
        [
            Node(
                nodes.compute_channels,
                ["fields", "representation"],
                "channels",
                name="compute_channels",
            )
        ],
        tags=TAG,
    )


def create_fitting() -> Pipeline:
    """Split, scalers and basis, fitted on training designs."""
    return Pipeline(
        [
            Node(nodes.divide, ["design_table", "params:data"], "split", name="divide_designs"),
            Node(
                nodes.fit_field_scaler,
                ["fields", "split", "params:data"],
                "field_scaler",
                name="fit_field_scaler",
            ),
            Node(
                nodes.fit_design_scaler,
                ["design_table", "split", "params:data"],
                "design_scaler",
                name="fit_design_scaler",
            ),
            Node(
                nodes.fit_representation,
                ["fields", "split", "field_scaler", "params:vae"],
                "representation",
                name="fit_representation",
            ),
        ],
        tags=TAG,
    )


def create_adoption() -> Pipeline:
    """Split, scalers and basis of a trained VAE, instead of fitting them."""
    return Pipeline(
        [
            Node(
                nodes.adopt_preparation,
                ["vae", "fields", "design_table", "params:data"],
                ["split", "field_scaler", "design_scaler", "representation"],
                name="adopt_preparation",
            )
        ],
        tags=TAG,
    )
