"""The stages of the pipeline, one module per DVC stage; an underscore marks what they share."""
