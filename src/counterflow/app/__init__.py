"""The assembly: settings, the control room, the server, the command line."""
