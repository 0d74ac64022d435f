"""The plant of `counterflow bench scenarios`: ten thousand cars at stations, all as arrays, one step a second or slower.

It is physics and lines, without OCPP: orders go in, and what comes out is only what meters, answers and ended transactions tell. The
truth is for the scorer. (`sim.vehicle` is the plant behind simulated stations, which speak OCPP message by message.)
"""
