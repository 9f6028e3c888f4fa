"""Makes a small real data set by finite elements."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes


def create_pipeline() -> Pipeline:
    """Simulate the demo's design study."""
    return Pipeline(
        [
            Node(
                nodes.make_demo_data,
                ["params:demo_data", "raw_folder"],
                "demo_data_summary",
                name="make_demo_data",
            )
        ],
        tags="demo_data",
    )
