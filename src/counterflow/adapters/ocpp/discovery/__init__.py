"""Discovery: what a station can do, asked of its device model (OCPP 2.1 B05 to B08), and the sampling that we ask of it.

`dialogue` is the whole of it; `reading` and `writing` are its two halves, `capability` and `sampling` the pure functions that decide,
`pacing` who is asked when.
"""
