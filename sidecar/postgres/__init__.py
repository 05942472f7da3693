"""PostgreSQL: its state, the orders that it gets, and how it is stopped."""
