"""Predictions and class-activation maps by a finished run."""
