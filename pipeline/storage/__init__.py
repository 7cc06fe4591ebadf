"""What lies on the disk: whole-or-nothing writes, checked reads, locks. Decides no byte."""
