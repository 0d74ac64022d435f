"""One module per functional block: a station's request becomes our answer and events in our words."""
