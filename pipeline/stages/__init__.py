"""One file a DVC stage: read, call, write. `python -m pipeline.stages train RUN` runs one."""
