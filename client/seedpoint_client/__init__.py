"""Client of the Seedpoint service."""

from seedpoint_client.client import Checkpoint, Client, DigestMismatch, Problem

__all__ = ["Checkpoint", "Client", "DigestMismatch", "Problem"]
