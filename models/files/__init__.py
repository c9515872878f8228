"""Files of a plan: headers, offsets, shards, slices and digests."""
