"""One thread everywhere: faster on small networks, and no test depends on the machine's cores."""

import torch

torch.set_num_threads(1)
