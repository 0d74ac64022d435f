"""Certificates of stations and of this server: a small authority of our own, and the way to an external one."""
