"""`make demo`: the walk-through on the local cluster, or with CLUSTER=current on the user's."""

import os
import sys
import tempfile
import time
from pathlib import Path

from deploy.demo.play import current_cluster, local_cluster, sweep
from deploy.demo.stage import NAMESPACE, StepFailedError
from deploy.demo.steps import STEPS, perform
from deploy.local.errors import LocalClusterError


def main() -> int:
    """Return 0 when every step showed what it should."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pgset-demo-") as workspace:
        try:
            chosen = os.environ.get("CLUSTER", "local")
            choose = {"local": local_cluster, "current": current_cluster}.get(chosen)
            if choose is None:
                raise LocalClusterError(f'CLUSTER is "{chosen}"; allowed: "local", "current"')
            stage = choose(Path(workspace))
            sweep(stage)
            for number, step in enumerate(STEPS, start=1):
                perform(stage, number, step)
        except (LocalClusterError, StepFailedError) as error:
            print(f"\nmake demo: {error}", file=sys.stderr)
            return 1
    stage.times["everything"] = time.monotonic() - began
    print("\n\033[1m── Times\033[0m")
    for what, seconds in stage.times.items():
        print(f"   {seconds:7.1f} s  {what}")
    print(f"\n   The set is still there: kubectl -n {NAMESPACE} get pods -L pgset.dev/role")
    if stage.kubeconfig is not None:
        print(f"   with: export KUBECONFIG={stage.kubeconfig}   (make cluster-down ends it)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
