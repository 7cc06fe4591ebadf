"""Images on the disk, in memory and in batches. Decides bytes: part of every fingerprint."""
