"""Codes drawn from priors, and the images that a trained model makes of them."""
