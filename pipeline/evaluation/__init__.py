"""What is measured of a trained model; a metric is a function of arrays with its source in the docstring."""
