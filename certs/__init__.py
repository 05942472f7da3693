"""Trust between the API server and the webhook: a CA, a serving certificate, the caBundle.

    upkeep: look ─▶ rotation.decide ─▶ one step ─▶ look again

    secret_store        what is kept                 authority  makes CAs and leaves
    serving_secret      what the webhook serves      renewal    are they still good; replaces them
    ca_bundle           whom the API server trusts   rotation   the order of the steps
    registration_watch  wakes the upkeep             lifetimes  how long each may take
                                                     writes     limits and conflicts of a write

It runs in pods of its own: the webhook's, which read what anybody sends, hold neither the CA's key
nor a right to write, and get the serving certificate as a mounted Secret. Replicas race for the
same Secrets; the API server's optimistic concurrency settles who wins, and the other one takes the
winner's.
"""
