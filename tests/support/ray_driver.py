"""A dataset through two actors on a cluster: run by Ray's own Python, with deploy/ray on its path.

    python ray_driver.py INPUT OUTPUT FOLDER MODEL

Each actor leaves a file PID.N in FOLDER for each batch, from 0 for none.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from embed_column import EmbedColumn


class Noted(EmbedColumn):
    """Reports how far it has come."""

    def __init__(self, folder: str, **options: Any) -> None:
        super().__init__(**options)
        self._folder, self._batches = Path(folder), 0
        self._note()

    def __call__(self, table: pa.Table) -> pa.Table:
        found = super().__call__(table)
        self._batches += 1
        self._note()
        return found

    def _note(self) -> None:
        (self._folder / f"{os.getpid()}.{self._batches}").touch()


def main(source: str, target: str, folder: str, model: str) -> None:
    ray.init(address="auto", log_to_driver=False)
    rows = ray.data.read_parquet(source)
    # Ray joins small blocks, and a block is the work of one actor.
    rows.repartition(target_num_rows_per_block=256).map_batches(
        Noted,
        fn_constructor_kwargs={
            "folder": folder,
            "model_id": model,
            "provider": "cpu",
            "dtype": "float32",
        },
        batch_format="pyarrow",
        batch_size=256,
        num_cpus=1,
        # With few tasks per actor, some are left for an actor that starts later.
        compute=ray.data.ActorPoolStrategy(size=2, max_tasks_in_flight_per_actor=2),
    ).write_parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
