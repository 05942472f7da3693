// The process that holds a pod's namespaces open.
module pgset.dev/local-pause

go 1.26.0
