"""Generation of bytes on threads, slightly ahead of the connections that send them."""
