"""Server of one process or several at one address."""
