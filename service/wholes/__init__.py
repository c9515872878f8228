"""Tensors that are computed as wholes: made by processes of their own, and kept on disk."""
