"""The DVC graph: one file per stage of dvc.yaml; the rooms below hold what they share."""
