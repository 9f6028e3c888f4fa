"""The memory that training on lazy data takes, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from simulgen_pipeline.training.device import memory_environment

# Channels of 2.3 GB: fields of very many nodes without POD, of which a batch takes 304 MB.
SHAPE = (120, 50, 95_008)
MOST_BYTES = 2 * 2**30

TRAINING = """
import json, resource, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.models.vae import Encoder, HierarchicalVae
from simulgen_pipeline.training.checkpoints import Checkpoints
from simulgen_pipeline.training.config import EngineConfig, OptimisationConfig, VaeConfig
from simulgen_pipeline.training.data import TrainingData
from simulgen_pipeline.training.loop import Trainer
from simulgen_pipeline.training.objectives import EvidenceObjective
from simulgen_pipeline.training.progress import Progress

folder, cpu = Path(sys.argv[1]), torch.device("cpu")
fields = SimulationFields(folder / "channels.h5")
num_designs, num_times, num_channels = fields.shape
data = TrainingData(
    fields, torch.zeros(num_designs, 1), torch.ones(num_designs), None, None, "lazy", cpu
)
architecture = VaeArchitecture(
    num_time_steps=num_times, num_channels=num_channels, filters=(8, 4), num_blocks=1,
    latent_size=2, hierarchical_latent_size=1, spectral_normalisation=False,
)
vae = HierarchicalVae(architecture)
config = VaeConfig.model_validate({"preset": 1})  # which mixes designs with others, and adds noise
objective = EvidenceObjective(vae.decoder, vae.encoder, config)
train, validation = range(num_designs - 8), range(num_designs - 8, num_designs)
world = SimpleNamespace(
    rank=0, size=1, device=cpu, is_main=True, wrap=lambda module: module,
    sum=lambda values: values.clone(),
)
trainer = Trainer(
    objective, data, Split(train=train, validation=validation, test=()),
    OptimisationConfig(num_epochs=1, batch_size=16),
    EngineConfig(precision="float32"), world,
    Checkpoints(folder, "stage-0", 1000.0), Progress(None),
)
trainer.progress.begin("vae", 0)
rows = trainer.run()
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"epochs": len(rows), "bytes": most * (1 if sys.platform == "darwin" else 1024)}))
"""


def test_lazy_training_on_very_many_nodes_takes_less_than_two_gibibytes(tmp_path: Path) -> None:
    """Beside the model, which is small here; Python and torch included."""
    pytest.importorskip("resource", reason="this system does not tell the largest memory")
    with h5py.File(tmp_path / "channels.h5", "w") as file:  # never written: it takes no disk
        file.create_dataset("fields", SHAPE, "float32", chunks=(1, *SHAPE[1:]), fillvalue=1.0)
    ended = subprocess.run(
        [sys.executable, "-c", TRAINING, str(tmp_path)],
        env={**os.environ, **memory_environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["epochs"] == 1
    assert told["bytes"] < MOST_BYTES
