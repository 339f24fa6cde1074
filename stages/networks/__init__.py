"""The networks of params.yaml: built, loaded, run on one machine or several."""
