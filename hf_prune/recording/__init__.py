"""From a training run to arrays: what taps a Trainer or a loop and keeps what passes.

Imports dynamics, models and the ground floor.
"""
