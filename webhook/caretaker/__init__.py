"""The caretaker: gives namespaces with sets what these need. `python -m webhook.caretaker`.

    look → facts → plan (grants, services, missing sidecars) → carry_out

`facts` and `plan` are pure: from what there is in one namespace to what is to be done there. Around
them: `rounds` says when to look, `election` who of several caretakers may act. Nothing in a review
and nothing in the failover path needs any of this: a set that is made goes on without it.
"""
