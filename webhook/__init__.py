"""The admission webhook: AdmissionReview in, JSON patch out.

    app → review → mutate → shape → opt_in                    (StatefulSets: checks, stamps)
                                  → initial_role → injection  (pods: label, sidecar, bootstrap)
                 → selects                                    (Services: the role's selector)

All of these but `app` are pure: no clock, no I/O, no API call. Around them: `serve` builds the
application for gunicorn, whose `patient_worker` reads whole requests (`framing`) without waiting
for slow clients, and answers a `usual_request` without gunicorn's parser; `lease_watch` fills the
`lease_cache` that `initial_role` is computed from, through `api_server`; `tls` serves the
certificate that `certs` keeps. `caretaker` is a process of its own.
"""
