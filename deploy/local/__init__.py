"""A real Kubernetes on one machine: one control plane and three nodes in namespaces.

    packages, toolchain, programs   what is run: Debian's binaries, and ours built by Go
    prometheus_operator             definitions that tests put into the cluster
    images, image_store             what runs in pods, built without a Docker engine
    layout, paths, locks            every name, address, port and folder; who has to wait
    network, cgroups, pki           what processes need before they start
    control_plane, node, forwarder  the processes
    cluster                         up, down, status: composes all of the above

Only the standard library is imported here: it all runs from a plain system Python,
before there is any virtual environment.
"""
