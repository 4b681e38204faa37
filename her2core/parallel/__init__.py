"""One function over many items: in this process, in a pool of processes, or on a Ray cluster."""
