"""A checkpoint as a page for people."""
