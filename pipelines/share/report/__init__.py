"""`deca-data report`: one HTML file that shows what came in, what went out, and why.

`counts` counts (two passes over the manifests, a few columns at a time), `charts` says into which bins,
`sampling` chooses the rows whose photos are shown, `cards` makes those, and `page` puts it all into
one file with its own style and scripts.
"""
