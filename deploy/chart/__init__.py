"""The Helm chart's templates, made from the manifests of deploy/base and deploy/monitoring.

    base/*.yaml, monitoring/*.yaml → template.py, by the table in values.py → pgset/templates/*.yaml

`python -m deploy.chart` writes them. What has no manifest to be made from is kept by hand in
deploy/chart/pgset: Chart.yaml, values.yaml and its schema, NOTES.txt and the test's pod.
"""
