"""What the bench targets of the Makefile run; results/ holds what they wrote."""
