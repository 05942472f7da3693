"""Trust between the API server and the webhook: a CA, a serving certificate, the caBundle.

    secret_store → renewal → authority   (what is stored; is it still good; make anew)
                 → ca_bundle             (the registrations trust the CA)
                 → files                 (the webhook serves the certificate)

It runs as a native sidecar in each webhook pod. Replicas race for the same Secret; the API
server's optimistic concurrency settles who wins, and the other one takes the winner's.
"""
