"""OpenADR 2.0b: a VEN over the package `openleadr` (extra `openadr2`), HTTP pull. See docs/openadr2.md.

settings   [openadr2]
reading    an event as an order of ours, or a sentence why not
history    what a pool did lately, for reports
client     `openleadr`'s client with our reports, resource status, and an ear for a VTN that is lost
ven        events into `GridSide`, the answer optIn or optOut back
"""
