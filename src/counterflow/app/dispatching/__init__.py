"""From a decision to the stations and back: ticks, placings, the ledger's gate, what stands beneath a discharge."""
