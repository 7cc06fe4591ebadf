"""The only mlflow imports: one MLflow run for each fingerprint, written beside the files.

MLflow is imported inside the functions that use it: it takes over a second, and training does not
wait for it.
"""
