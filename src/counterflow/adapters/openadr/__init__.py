"""OpenADR 3: the models, how they are read and written, and the VEN. `docs/openadr.md` tells how to try it."""
