"""Class-activation maps: methods, pictures, and their evaluation."""
