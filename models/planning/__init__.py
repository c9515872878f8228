"""Planning: from a spec to a plan."""
