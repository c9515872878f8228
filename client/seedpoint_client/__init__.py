"""A client of the Seedpoint service."""

from seedpoint_client.client import Checkpoint, Client, Problem

__all__ = ["Checkpoint", "Client", "Problem"]
