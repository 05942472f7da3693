"""The walk-through: a stock PostgreSQL StatefulSet becomes a replicated set, step by step.

`make demo` tells it; the cluster tests run the same steps, and each step checks what it shows.
"""
