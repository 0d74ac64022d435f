"""The operator's console in the browser: a process of its own that speaks to the server over its HTTP API and event stream, like any other
client (decisions 14). It knows nothing of engine or adapters, and can never delay control.
"""
