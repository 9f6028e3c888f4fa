"""Measures the speed of training: `python -m benchmarks.throughput --out RESULTS`.

Writes `throughput.json` and `throughput.md`; a case that is measured again replaces its result.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig
from simulgen_pipeline.pipelines.demo_data.nodes import make_demo_data
from simulgen_pipeline.training.config import EngineConfig, VaeConfig
from simulgen_pipeline.training.device import (
    choose_num_processes,
    memory_environment,
    thread_environment,
)

from . import measure, training_rate
from .data_sets import DATA_SETS, missing_files
from .project import ROOT, last_words
from .run import code_revision, machine, versions, write
from .throughput_cases import (
    CASES,
    FEWEST_EPOCHS,
    HEAT_PULSE,
    NODES,
    NUM_ACCURACY_EPOCHS,
    NUM_EPOCHS,
    SEEDS,
    Training,
    Values,
)
from .throughput_page import DEMO, page
from .training_rate import Order
from .travelling_pulse import write_pulses

logger = logging.getLogger(__name__)

JSON_FILE, PAGE_FILE = "throughput.json", "throughput.md"


def main(arguments: Sequence[str]) -> None:
    """Measure the cases, one after the other."""
    options = parse(arguments)
    (options.out / "logs").mkdir(parents=True, exist_ok=True)
    file = options.out / JSON_FILE
    result = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"cases": {}}
    with TemporaryDirectory(prefix="benchmark.", ignore_cleanup_errors=True) as temporary:
        data = Data(Path(temporary), options.data)
        for case in options.cases:
            measured = [
                measure_training(case, training, data, options.out / "logs")
                for training in CASES[case](options)
            ]
            result["cases"][case] = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "code_revision": code_revision(),
                "versions": versions(),
                "machine": machine(),
                "trainings": measured,
            }
            write(file, json.dumps(result, indent=1) + "\n")
            write(options.out / PAGE_FILE, page(result["cases"]))
    logger.info("%s", (options.out / PAGE_FILE).resolve())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="gets results, page and logs")
    parser.add_argument("--data", type=Path, help="of `benchmarks.make_data`, for `accuracy`")
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=None, dest="cases", metavar="NAME"
    )
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS, help="of trainings for speed")
    parser.add_argument("--accuracy-epochs", type=int, default=NUM_ACCURACY_EPOCHS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of `accuracy`")
    options = parser.parse_args(arguments)
    if options.cases is None:
        options.cases = [name for name in CASES if name != "accuracy" or options.data is not None]
    fewest = min(options.epochs, options.accuracy_epochs)
    if fewest < FEWEST_EPOCHS:
        parser.error(f"expected at least {FEWEST_EPOCHS} epochs of each training, got {fewest}")
    if "accuracy" in options.cases:
        missing = (
            [options.data]
            if options.data is None
            else missing_files(DATA_SETS[HEAT_PULSE], options.data)
        )
        if missing:
            parser.error(
                f"accuracy is measured on {HEAT_PULSE}: expected its files in --data, got "
                f"{missing[0]}. {DATA_SETS[HEAT_PULSE].how}"
            )
    return options


class Data:
    """Folders of simulations and designs, made when they are first asked for.

    Args:
        folder: for what is made.
        made: has what `benchmarks.make_data` made, or None.
    """

    def __init__(self, folder: Path, made: Path | None) -> None:
        self.folder, self.made = folder, made

    def __getitem__(self, name: str) -> Path:
        if name == HEAT_PULSE:
            assert self.made is not None
            return (self.made / name).resolve()
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            if name == DEMO:
                make_demo_data(DemoDataConfig(), folder)
            else:
                write_pulses(folder, NODES[name])
        return folder


def measure_training(case: str, training: Training, data: Data, logs: Path) -> Values:
    """What `benchmarks.training_rate` and, where asked for, `benchmarks.step_rate` measure."""
    source = data[training.data]
    split = source / "split.json"
    order = Order(
        simulations=source / "simulations.h5",
        designs=source / "designs.csv",
        split=split if split.is_file() else None,
        memory=training.memory,
        vae=VaeConfig.model_validate(training.vae),
        engine=EngineConfig.model_validate(training.engine or {}),
        assess=training.assess,
    )
    result: Values = {"name": training.name, "order": order.model_dump(mode="json")}
    num_processes = choose_num_processes(order.engine.num_processes)
    environment = (
        thread_environment(num_processes)
        | memory_environment()
        | dict(os.environ)
        | (training.environment or {})
    )
    with TemporaryDirectory(prefix="benchmark.", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        (folder / training_rate.ORDER_FILE).write_text(order.model_dump_json(), encoding="utf-8")
        name = f"{case}-{training.name}-seed{order.engine.seed}".replace(" ", "_")

        def run(module: str, *arguments: str) -> measure.Measured:
            command = [sys.executable, "-m", f"benchmarks.{module}", str(folder), *arguments]
            log = logs / f"{'-'.join([name, module, *arguments[1:]])}.log"
            return measure.run(command, ROOT, environment, log)

        trained = run("training_rate")
        if trained.returncode:
            logger.info("%s: %s: %s", case, training.name, last_words(trained.lines))
            return result | {"error": last_words(trained.lines)}
        text = (folder / training_rate.TRAINED_FILE).read_text(encoding="utf-8")
        result |= json.loads(text) | {"peak_bytes": trained.peak_bytes}
        file = folder / "steps.json"
        for lever in [*([None] if training.steps or training.levers else []), *training.levers]:
            file.unlink(missing_ok=True)
            ran = run("step_rate", str(file), *([] if lever is None else [lever]))
            what = "steps" if lever is None else f"steps without {lever}"
            if ran.returncode:
                logger.info("%s: %s: %s: %s", case, training.name, what, last_words(ran.lines))
                result.setdefault("failed", {})[what] = last_words(ran.lines)
            else:
                result[what] = json.loads(file.read_text(encoding="utf-8"))
    logger.info("%s: %s: %.1f samples/s", case, training.name, rate_of(result))
    return result


def rate_of(result: Values) -> float:
    """Samples per second of a training's first stage."""
    rate: float = result["stages"][0]["samples_per_second"]
    return rate


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
