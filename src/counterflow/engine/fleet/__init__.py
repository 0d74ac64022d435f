"""What we know of every session: the single writer, its frozen images, and what each car may be asked."""
