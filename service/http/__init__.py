"""HTTP as the RFCs define it, independent of checkpoints."""
