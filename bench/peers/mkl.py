"""MKL, PyTorch's library of products, at its best on processors that are not Intel's.

MKL chooses its kernels by the maker of the processor and leaves AVX-512 unused elsewhere: 2048^3 on two threads of a
Zen 5 took 115 GFLOPS, and 383 where the two functions that it asks say yes. They stand in a library that is loaded
before it. Needs a C compiler; without one PyTorch runs as it comes, and its version says so. THIMBLE_PEER_MKL=slow leaves MKL alone,
to see the difference: THIMBLE_PEER_MKL=slow npm run bench:scale -- --batch 16 --rows '^full$' --dry-run
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\nint mkl_serv_intel_cpu(void) { return 1; }\n"
DONE = "THIMBLE_PEER_MKL"


def at_its_best() -> None:
    """Starts this process again where MKL needs it. To be called before PyTorch is loaded."""
    if DONE in os.environ or not _is_other_maker():
        return
    os.environ[DONE] = "slow"
    compiler = shutil.which("cc")
    if compiler is None:
        return
    folder = Path(tempfile.mkdtemp(prefix="thimble-mkl-"))
    library = folder / "intel.so"
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    os.environ |= {DONE: str(folder), "LD_PRELOAD": str(library)}
    os.execv(sys.executable, [sys.executable, *sys.argv])


def clean_up() -> None:
    """Removes the library; to be called once it is loaded."""
    folder = os.environ.get(DONE, "slow")
    if folder != "slow":
        shutil.rmtree(folder, ignore_errors=True)


def remark() -> str:
    """What belongs behind PyTorch's version."""
    how = os.environ.get(DONE)
    if how is None:
        return ""
    return ", MKL without AVX-512" if how == "slow" else ", MKL as on Intel"


def _is_other_maker() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and "vendor_id" in (text := info.read_text()) and "GenuineIntel" not in text
