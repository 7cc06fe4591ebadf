"""The only mlflow imports: one MLflow run for each fingerprint, written beside the files and never before them.

MLflow is imported inside the functions that use it: it takes over a second, and training does not wait for it.
"""
