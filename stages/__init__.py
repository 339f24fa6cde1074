"""The DVC graph: one file per stage of dvc.yaml; sub-packages hold the code that stages share."""

from stages.pipeline.threads import set_threads

set_threads()  # before anything imports PyTorch
