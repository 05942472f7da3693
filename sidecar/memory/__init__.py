"""What a member remembers between two looks, one matter to a module.

Without I/O and without a clock: `now`, in seconds on the member's monotonic clock, is an argument.
The sidecar's adapters and the simulator's members use the same classes, so that what the simulator
proves of them is true of a pod. Nothing here is safe from several threads: the adapters have the
locks.
"""
