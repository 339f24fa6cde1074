"""Build, load and run the networks that params.yaml describes, on one machine or several."""
