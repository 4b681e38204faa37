"""Inference with a finished run."""
