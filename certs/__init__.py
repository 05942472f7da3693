"""Trust between the API server and the webhook: a CA, a serving certificate, the caBundle.

    upkeep: look ─▶ rotation.decide ─▶ one step ─▶ look again

    secret_store        what is kept                 authority  makes CAs and leaves
    ca_bundle           whom the API server trusts   renewal    are they still good; replaces them
    files               what the webhook serves      rotation   the order of the steps
    registration_watch  wakes the upkeep             lifetimes  how long each may take
    metrics             reports it                   writes     limits and conflicts of a write

It runs as a native sidecar in each webhook pod. Replicas race for the same Secret; the API
server's optimistic concurrency settles who wins, and the other one takes the winner's.
"""
