"""`deca-data export`: kept rows in the forms that other programs read.

`deca` writes the lists and folders of the official DECA trainer, `table` one CSV per manifest, and
`webdataset` tar shards. `rows` is what they share, `images` gives the bytes of a photo that any reader
sees the way the manifest means it.
"""
