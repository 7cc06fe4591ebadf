"""The variational autoencoder and its parts. Decides bytes: part of every fingerprint."""
