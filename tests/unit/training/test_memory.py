"""Training on data that is larger than the memory it may take, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

# Channels of 2.6 GB.
SHAPE = (2560, 64, 4096)
LIMIT = 2 * 2**30

TRAINING = """
import json, resource, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.vae import Encoder, HierarchicalVae, VaeArchitecture
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
objective = EvidenceObjective(vae.decoder, vae.encoder, VaeConfig())
train, validation = range(0, num_designs - 8, 10), range(num_designs - 8, num_designs)
world = SimpleNamespace(
    rank=0, size=1, device=cpu, is_main=True, wrap=lambda module: module, sum=lambda v: v.clone()
)
trainer = Trainer(
    objective, data, Split(train=train, validation=validation, test=()),
    OptimisationConfig(num_epochs=1, batch_size=32), EngineConfig(precision="float32"), world,
    Checkpoints(folder, "stage-0", 1000.0), Progress(None),
)
trainer.progress.begin("vae", 0)
rows = trainer.run()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"epochs": len(rows), "peak": peak * (1 if sys.platform == "darwin" else 1024)}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is asked for as POSIX has it")
def test_lazy_training_holds_a_few_batches_of_data_that_is_larger_than_its_memory(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "channels.h5", "w") as file:  # never written: it takes no disk
        file.create_dataset("fields", SHAPE, "float32", chunks=(1, *SHAPE[1:]), fillvalue=1.0)
    ended = subprocess.run(
        [sys.executable, "-c", TRAINING, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["epochs"] == 1
    assert told["peak"] < LIMIT
