"""Processes that end when the one that started them does."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

CHILD = """
import os, signal
from simulgen_pipeline.training.parent import end_with_parent

end_with_parent()
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_process_that_hangs_ends_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        assert parent.stdout.read() == ""  # the child has closed it, too
    child.wait(timeout=10)
