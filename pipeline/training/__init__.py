"""From an untrained model to a trained one. Decides bytes: part of every fingerprint."""
