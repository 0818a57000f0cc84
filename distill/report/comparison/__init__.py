"""A set beside baselines, by protocol and network: a heat map as a picture, and as a section of the page."""
