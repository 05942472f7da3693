"""The pages as a site that can be searched: README, docs/, CONTRIBUTING and CHANGELOG.

They are written for those who read them in the repository; `pages.py` makes the links fit, and
mkdocs-material does the rest. `python -m deploy.site` needs nothing that is installed before.
"""
