"""The admission webhook: AdmissionReview in, JSON patch out.

    app → review → mutate → opt_in                     (StatefulSets: checks, stamps)
                          → initial_role → injection   (pods: role label, sidecar, bootstrap)

Everything between `app` and `lease_watch` is pure: no clock, no I/O, no API call.
"""
