"""Finished folders as MLflow runs, and points of running trainings on a server."""
