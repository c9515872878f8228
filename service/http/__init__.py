"""HTTP as the RFCs define it; no module here imports a checkpoint."""
