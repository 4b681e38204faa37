"""Multiple-instance learning: models of bags of tile features, their training, and its cross-validation."""
