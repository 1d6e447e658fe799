"""Every test process computes with one thread: small tensors gain nothing from more, and jobs run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported
