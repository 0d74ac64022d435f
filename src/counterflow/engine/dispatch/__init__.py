"""How a target is split over cars: policies, site limits, and which setpoints are worth a message."""
