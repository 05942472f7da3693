"""The agent in every pod of a set: observe → decide → act → report.

`observe` turns PostgreSQL, the Lease, the pods and the peers into one value, `decide` (pure)
turns that value into a decision, `act` carries it out, `report` says what was done.
"""
