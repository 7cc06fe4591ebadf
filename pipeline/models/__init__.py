"""The variational autoencoder and the blocks it is made of."""
