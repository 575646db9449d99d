"""No test of third-party models may use the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
