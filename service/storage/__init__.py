"""Storage: the backend that holds objects, and what the service keeps in it."""
