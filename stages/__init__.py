"""The DVC graph: one file per stage of dvc.yaml; sub-packages hold the code that stages share."""
