"""The hub."""

import os

# Read once, when numpy is loaded. The products here are small: threads of OpenBLAS's own that wait for each other make
# a recall on a busy machine twice as long, and take the cores from other requests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
