// The Prometheus operator, of which nothing is built: its custom resource definitions are data.
// After a change of the version: `go mod download github.com/prometheus-operator/prometheus-operator`
// here. `go mod tidy` would drop what no code imports.
module pgset.dev/local-prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
