"""From a request's body to a plan, in worker processes that can be ended at any time."""
