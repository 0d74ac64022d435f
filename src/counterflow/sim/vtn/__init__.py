"""A small VTN in memory, for the tests and for `counterflow vtn`: what a grid operator's OpenADR server says, 3.1.0 and 3.0.1 at once.

`store` holds the objects and the rules, `listing` finds them, `clients` knows who asks, `quirks` misbehaves as real VTNs were seen to,
`telling` pushes, `door` is the HTTP side, `serving` runs it. It is no server for production: nothing outlives it.
"""
