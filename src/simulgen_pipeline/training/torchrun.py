"""torchrun, which ends when the launcher does: `python -m simulgen_pipeline.training.torchrun`."""

from __future__ import annotations

from .parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()  # before what takes seconds

    from torch.distributed.run import main

    main()
