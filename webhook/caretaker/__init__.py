"""The caretaker: gives the sets of a namespace what they need. `python -m webhook.caretaker`.

    look → facts → plan → carry_out

    plan: grants, services, policies, budgets, sidecars, stuck

`facts` and `plan` are pure: from what there is in one namespace to what has to be done there.
Around them: `rounds` says when to look, `election` which of several caretakers may act. No review
and no failover needs any of this: a set, once made, goes on without it.
"""
