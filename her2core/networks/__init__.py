"""Networks for patches: protocol, registry, last layers, weights and cost."""
