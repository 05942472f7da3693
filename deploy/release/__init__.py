"""What a release has beside the image: plugin, manifest for krew, bill of materials.

`python -m deploy.release FOLDER` writes them, the same bytes each time.
"""
