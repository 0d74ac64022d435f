"""What the room knows of stations and of others who steer them."""
