"""Writing and verifying of files without a server."""
