"""`deca-data export`: kept rows in the forms that other programs read.

`deca` and `emoca` write the lists and folders of the official DECA trainer and of EMOCA; `lists` and
`official` have what both need. `smirk` writes those of SMIRK, `csv_table` one CSV per manifest, and
`webdataset` tar shards. `rows` has what all share; `images` makes files that every reader sees upright.
"""
