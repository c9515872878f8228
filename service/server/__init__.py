"""The server: one process or several at one address."""
