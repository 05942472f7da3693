"""The hand-shake with PostgreSQL: what it says, what it is told, how it is stopped."""
