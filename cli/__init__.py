"""`kubectl pgset`: what people do with sets from a terminal, with kubectl as the only transport.

Python's standard library alone, 3.9 and newer: `make plugin` packs this folder and
`sidecar.contract` into one file, which runs on the user's machine. `facts` reads kubectl's JSON,
`view` and `diagnosis` make of that what is shown (both pure), `text` and `as_json` write it.
"""
