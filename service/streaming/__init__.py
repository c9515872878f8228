"""Bytes made a little ahead of who sends them, and the responses that send them."""
