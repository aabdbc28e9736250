"""Held-out accuracy of models trained on coresets: which method, how many rows, and what can be promised of it."""
