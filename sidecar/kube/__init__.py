"""The API server as the sidecar needs it: seven calls, three watches, errors named by what to do.

Over urllib3, which the official client uses too: that client alone would take more memory
than the whole sidecar may (45 MB of resident memory at import, measured on Python 3.11).
"""
