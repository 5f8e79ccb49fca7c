"""`deca-data export`: kept rows in the forms that other programs read.

`deca` writes the lists and folders of the official DECA trainer, `csv_table` one CSV per manifest, and
`webdataset` tar shards. `rows` has what they share; `images` makes files that every reader sees upright.
"""
