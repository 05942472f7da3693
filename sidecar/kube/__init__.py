"""The API server as the sidecar needs it: a few calls, three watches, errors named by what to do.

Over `sidecar.http_client`. The official client alone would take 45 MB of resident memory at import
(measured on Python 3.11), more than the whole sidecar takes at rest.
"""
