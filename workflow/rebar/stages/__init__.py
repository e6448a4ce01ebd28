"""The stages: one module for each rule of the pipeline, each with `run(job)`."""
