"""Whole slides: reading at an exact scale, tissue, tiles, and prediction tile by tile."""
