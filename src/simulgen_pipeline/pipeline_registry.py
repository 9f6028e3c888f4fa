"""The pipelines that `kedro run --pipeline=NAME` knows.

They are named here rather than discovered, because discovery looks for a module of the requested
name, and the composed ones have none.
"""

from __future__ import annotations

from kedro.pipeline import Pipeline

from .pipelines.conditioner_training import pipeline as conditioner_training
from .pipelines.data_preparation import pipeline as data_preparation
from .pipelines.demo_data import pipeline as demo_data
from .pipelines.evaluation import pipeline as evaluation
from .pipelines.prediction import pipeline as prediction
from .pipelines.studies import pipeline as studies
from .pipelines.vae_training import pipeline as vae_training


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name."""
    ingestion = data_preparation.create_ingestion()
    latents = data_preparation.create_projection() + vae_training.create_extraction()
    assessment = evaluation.create_assembly() + evaluation.create_plots()
    conditioner = latents + conditioner_training.create_pipeline() + assessment
    end_to_end = latents + conditioner_training.create_end_to_end() + assessment
    on_trained_vae = ingestion + data_preparation.create_adoption()
    full_vae = (
        ingestion
        + data_preparation.create_fitting()
        + vae_training.create_training()
        + evaluation.create_vae_plots()
        + conditioner
    )
    return {
        "demo_data": demo_data.create_pipeline(),
        "full_vae": full_vae,
        "conditioner_only": on_trained_vae + conditioner,
        "end_to_end": on_trained_vae + end_to_end,
        "predict": prediction.create_pipeline(),
        "repeated_splits": ingestion + studies.create_repeated_splits(),
        "learning_curve": ingestion + studies.create_learning_curve(),
        "__default__": full_vae,
    }
