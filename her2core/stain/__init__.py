"""Stain normalisation of H&E patches."""
