"""What vaebench costs, measured against the floor and against the peers; no part of the tests."""

from vaebench.environment import use_one_thread

# Before anything imports torch.
use_one_thread()
