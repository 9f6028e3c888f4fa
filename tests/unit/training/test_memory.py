"""The memory that training on lazy data takes, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py

from simulgen_pipeline.training.device import memory_environment

# Channels of 675 MB, of which a batch takes 16 MiB.
SHAPE = (1288, 32, 4096)
BATCH_SIZE = 32
BATCH_BYTES = 4 * BATCH_SIZE * SHAPE[1] * SHAPE[2]
# Batches that may be in memory at a time: read ahead, converted, decoded, and their gradients.
MOST_BATCHES = 25

TRAINING = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import psutil
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

class WatchedData(TrainingData):
    sizes = []  # of this process, before and after each batch

    def batches(self, wanted):
        for batch in super().batches(wanted):
            self.sizes.append(psutil.Process().memory_info().rss)
            yield batch
            self.sizes.append(psutil.Process().memory_info().rss)

folder, cpu = Path(sys.argv[1]), torch.device("cpu")
fields = SimulationFields(folder / "channels.h5")
num_designs, num_times, num_channels = fields.shape
data = WatchedData(
    fields, torch.zeros(num_designs, 1), torch.ones(num_designs), None, None, "lazy", cpu
)
architecture = VaeArchitecture(
    num_time_steps=num_times, num_channels=num_channels, filters=(8, 4), num_blocks=1,
    latent_size=2, hierarchical_latent_size=1, spectral_normalisation=False,
)
vae = HierarchicalVae(architecture)
objective = EvidenceObjective(vae.decoder, vae.encoder, VaeConfig())
train, validation = range(num_designs - 8), range(num_designs - 8, num_designs)
world = SimpleNamespace(
    rank=0, size=1, device=cpu, is_main=True, wrap=lambda module: module,
    sum=lambda values: values.clone(),
)
trainer = Trainer(
    objective, data, Split(train=train, validation=validation, test=()),
    OptimisationConfig(num_epochs=1, batch_size=int(sys.argv[2])),
    EngineConfig(precision="float32"), world,
    Checkpoints(folder, "stage-0", 1000.0), Progress(None),
)
trainer.progress.begin("vae", 0)
before = psutil.Process().memory_info().rss
rows = trainer.run()
print(json.dumps({"epochs": len(rows), "taken": max(WatchedData.sizes) - before}))
"""


def test_lazy_training_holds_a_few_batches_at_a_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "channels.h5", "w") as file:  # never written: it takes no disk
        file.create_dataset("fields", SHAPE, "float32", chunks=(1, *SHAPE[1:]), fillvalue=1.0)
    ended = subprocess.run(
        [sys.executable, "-c", TRAINING, str(tmp_path), str(BATCH_SIZE)],
        env={**os.environ, **memory_environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["epochs"] == 1
    assert told["taken"] < MOST_BATCHES * BATCH_BYTES
