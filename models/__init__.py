"""Pure: a spec in, bytes out. Nothing here knows of HTTP, jobs or storage."""
