"""Pure core: a spec in, bytes out, without knowledge of HTTP, jobs or storage."""
