"""Trust between the API server and the webhook: a CA, a serving certificate, the caBundle.

    upkeep: look ─▶ rotation.decide ─▶ one step ─▶ look again

    secret_store   what is kept               renewal   is it still good; make anew (authority)
    ca_bundle      whom the API server trusts rotation  the order that keeps every call verified
    files          what the webhook serves    lifetimes how long each of it may take

It runs as a native sidecar in each webhook pod. Replicas race for the same Secret; the API
server's optimistic concurrency settles who wins, and the other one takes the winner's.
"""
