"""Writes the demo's files, without ever touching a file that is not the demo's own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.fields import FieldMetadata, write_fields
from simulgen_pipeline.data.whole_files import whole_file

from . import heat, pictures, study
from .config import DemoDataConfig
from .heat import plate_mesh
from .pictures import draw_design
from .study import output_times, sample_designs, simulate

logger = logging.getLogger(__name__)

# Says which files are the demo's, and what they held when they were written.
MARK_FILE = ".demo_data.json"


def write_demo_data(config: DemoDataConfig, folder: Path) -> dict[str, Any]:
    """Make the demo data in a folder, unless it is there already.

    Returns:
        The configuration and the files written.

    Raises:
        DataError: a file of the same name is not the demo's, or was changed since.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = _read_mark(folder)
    _check_ours(folder, mark)
    wanted = {**config.model_dump(mode="json"), "study": _study_digest()}
    if mark is not None and mark["config"] == wanted and _all_there(folder, mark):
        logger.info("The demo data is in %s already", folder)
        return mark
    designs, held_back = sample_designs(config)
    with TemporaryDirectory(dir=folder, prefix=".demo_data.") as temporary:
        made = Path(temporary)
        for prefix, table in (("", designs), ("new_", held_back)):
            _write_part(made, prefix, table, config)
        files = sorted(path for path in made.rglob("*") if path.is_file())
        digests = {path.relative_to(made).as_posix(): _digest(path) for path in files}
        old = {} if mark is None else mark["files"]
        mark = {"config": wanted, "files": digests, "replaced": old}
        # The mark comes first, with the files before and after: a run that is interrupted now
        # leaves nothing that the next one would take for somebody else's.
        _replace_text(folder / MARK_FILE, json.dumps(mark, indent=1))
        for name in old.keys() - digests.keys():
            (folder / name).unlink(missing_ok=True)
        for path in files:
            target = folder / path.relative_to(made)
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
        mark = {"config": wanted, "files": digests, "replaced": {}}
        _replace_text(folder / MARK_FILE, json.dumps(mark, indent=1))
    return mark


def _write_part(folder: Path, prefix: str, table: pd.DataFrame, config: DemoDataConfig) -> None:
    """Fields, table and pictures of some designs."""
    mesh = plate_mesh(config.num_nodes, config.seed)
    metadata = FieldMetadata(
        name="temperature rise",
        units="K",
        time=output_times(config),
        coordinates=mesh.p.T,
        cells=mesh.t.T.astype("int64"),
        design_ids=tuple(table["id"]),
    )
    blocks = [(np.arange(len(table)), {"fields": simulate(table, config)})]
    write_fields(folder / f"{prefix}simulations.h5", len(table), blocks, metadata)
    table.to_csv(folder / f"{prefix}designs.csv", index=False)
    images = folder / f"{prefix}images"
    images.mkdir()
    jobs = (delayed(_draw)(row, config, images) for _, row in table.iterrows())
    Parallel(n_jobs=cpu_count())(jobs)


def _draw(row: pd.Series[Any], config: DemoDataConfig, folder: Path) -> None:
    draw_design(row, config).save(folder / f"{row['id']}.png")


def _read_mark(folder: Path) -> dict[str, Any] | None:
    path = folder / MARK_FILE
    if not path.is_file():
        return None
    mark: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return mark


def _check_ours(folder: Path, mark: dict[str, Any] | None) -> None:
    """Refuse to go on where a name that the demo would write holds something else."""
    known = [] if mark is None else [mark["files"], mark["replaced"]]
    places = [
        path
        for prefix in ("", "new_")
        for name in (f"{prefix}simulations.h5", f"{prefix}designs.csv", f"{prefix}images/*")
        for path in folder.glob(name)
    ]
    for path in places:
        name, digest = path.relative_to(folder).as_posix(), _digest(path)
        if digest not in [files.get(name) for files in known]:
            raise DataError(
                f"{path} was not written by demo_data, or was changed since; it is left as it is. "
                f"Move it away, or use it as it is without demo_data."
            )


def _study_digest() -> str:
    """Changes with the code of the study: physics, ranges and pictures are made anew with it."""
    digest = hashlib.sha256()
    for module in (heat, pictures, study):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _all_there(folder: Path, mark: dict[str, Any]) -> bool:
    names = mark["files"]
    return not mark["replaced"] and all((folder / name).is_file() for name in names)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _replace_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
