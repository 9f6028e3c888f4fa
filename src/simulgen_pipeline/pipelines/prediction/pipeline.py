"""A surrogate and new designs to their fields."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes


def create_pipeline() -> Pipeline:
    """Predict new designs."""
    return Pipeline(
        [
            Node(
                nodes.predict_fields,
                ["surrogate", "new_designs", "params:prediction"],
                "predictions",
                name="predict_fields",
            )
        ],
        tags="prediction",
    )
