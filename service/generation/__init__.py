"""Bytes generated on threads, slightly ahead of the connections that send them."""
