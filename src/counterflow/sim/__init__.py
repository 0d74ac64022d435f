"""The stand-in world: seeded vehicles and stations, on sockets or on a virtual clock."""
