"""``appliance demo``: one real call, and what everyone gets from it."""
