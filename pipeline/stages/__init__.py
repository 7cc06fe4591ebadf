"""One file a DVC stage: read, call, write. `python -m pipeline.stages train reference-64-0` runs one."""
