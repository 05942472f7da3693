"""The configuration files of a node's programs, as text."""

import json
from pathlib import Path

from deploy.local import pki
from deploy.local.layout import (
    CLUSTER_DOMAIN,
    DNS_SERVICE_ADDRESS,
    POD_NETWORK,
    NodePlan,
)

CNI_NAME = "pgset"
PAUSE_IMAGE = "localhost/pgset-pause:1"


def containerd(network_plugins: Path) -> str:
    """containerd's config; `network_plugins` is the folder of the CNI plugins."""
    return f"""\
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Needed where root lacks CAP_SYS_RESOURCE and so can't lower a score; harmless elsewhere.
  restrict_oom_score_adj = true
  # A profile would be loaded into the host's kernel, and stay there.
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{network_plugins}"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def pod_network(node: NodePlan) -> str:
    """The CNI configuration: each pod is a routed link of its own (`ptp`)."""
    return json.dumps(
        {
            "cniVersion": "0.4.0",
            "name": CNI_NAME,
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": node.pod_network}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        },
        indent=2,
    )


def kubelet(node: NodePlan, version: str) -> str:
    """The KubeletConfiguration for a kubelet of this version, such as "1.36"."""
    identity = f"kubelet-{node.name}"
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(pki.certificate("ca"))},
                "webhook": {"enabled": True},
                "anonymous": {"enabled": False},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki.certificate(identity)),
            "tlsPrivateKeyFile": str(pki.key(identity)),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            # Several kubelets share one kernel: each has a cgroup of its own for its pods.
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{node.cgroup}",
            "enforceNodeAllocatable": [],
            # Before 1.31 the kubelet runs on cgroup v1 without a word, and does not know the field.
            **({} if version == "1.30" else {"failCgroupV1": False}),
            "failSwapOn": False,
            "clusterDNS": [DNS_SERVICE_ADDRESS],
            "clusterDomain": CLUSTER_DOMAIN,
            # Pods have no way out of the cluster, so the host's resolvers are of no use.
            "resolvConf": "/dev/null",
            # The disk is the host's: how full it is says nothing about this node.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "nodefs.available": "0%",
                "imagefs.available": "0%",
                "memory.available": "50Mi",
            },
        },
        indent=2,
    )


def proxy(node: NodePlan, kubeconfig: Path) -> str:
    """The KubeProxyConfiguration."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            # Debian 12's nft is too old for kube-proxy's nftables mode.
            "mode": "iptables",
            "iptables": {"minSyncPeriod": "1s"},
            "hostnameOverride": node.name,
            "clusterCIDR": POD_NETWORK,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            # The conntrack table's size can be set in the host's own namespace only.
            "conntrack": {"maxPerCore": 0},
        },
        indent=2,
    )
