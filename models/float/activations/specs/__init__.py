"""What the pipeline knows of each activation before torch is there: one file, one `SPEC`, each."""
