"""Packs: the training crop of every kept row, in a few large files that are read at any row.

A pack is a folder of shards `<manifest's name>-00000.arrow`, `-00001` and on, in the manifest's order (so a
person's rows stand together), and the index `<manifest's name>.json`, written last, which lists them (see
`schema.Index`). A shard is an Arrow IPC file in batches of 256 rows, not compressed: a process that maps it
reads any row without copying the others, and all processes share the memory. Its metadata holds, under the
key `deca-pack`, a JSON object with the keys `format`, `size`, `scale`, `quality` and `fingerprint`.

Any Arrow library reads a shard:

    table = pa.ipc.open_file(pa.memory_map("packed/train-00000.arrow")).read_all()
    row = table.slice(3, 1).to_pylist()[0]
    image = np.asarray(PIL.Image.open(io.BytesIO(row["image_jpeg"])))
    mask = np.unpackbits(np.frombuffer(zlib.decompress(row["mask_zlib"]), np.uint8), count=image[..., 0].size)
    mask, points = mask.reshape(image.shape[:2]), np.reshape(row["landmarks"], (68, 2))

Columns, one row per face:

| column | type | meaning |
|---|---|---|
| sample_id, dataset, identity, clip, split | string | as in the manifest; identity and clip may be null |
| frame, expression | int32 | as in the manifest; may be null |
| valence, arousal | float32 | as in the manifest; may be null |
| image_jpeg | binary | the crop, `size` x `size` RGB, JPEG; black where it reaches beyond the photo |
| landmarks | 136 float32 | x0, y0, x1, y1, ... in pixels of the crop, pixel centres at integers |
| mask_zlib | binary | zlib of `size` x `size` bits (numpy.packbits), 1 on the visible face; may be null |
| crop_left, crop_top, crop_side | int32 | the square in pixels of the upright photo; may reach beyond it |

The square is centred on the box of the 68 landmarks; its side is `scale` (2.05) times the mean of the box's
width and height, moved to whole pixels. The trainer's rule cuts at 1.4 to 1.8 of that mean and may move the
centre by 0.1 of it (`manifests/images/crop.py`): 1.8 + 2 x 0.1 = 2.0, and the rest is for whole pixels.
That square of 1.8 is 225 of the 256 pixels, enough for an input of 224. Photo pixel x lies at
`(x - crop_left + 0.5) * size / crop_side - 0.5` of the crop, and y likewise. A reader that applies the rule
to the packed landmarks gets the rule's square in pixels of the crop.
"""
