"""What a cluster admin applies, the walk-through, and a real cluster on one machine."""
