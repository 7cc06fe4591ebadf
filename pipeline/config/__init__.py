"""What was asked for and where it lies: params.yaml typed, the grid of runs, every path."""
