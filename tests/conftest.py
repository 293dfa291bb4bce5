"""One thread for each of the processes that run the tests side by side."""

import os

# Before torch and NumPy are imported: threads of two processes on one core wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
