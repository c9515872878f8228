"""Planning: from a request's body to a plan, in worker processes that can be ended any time."""
