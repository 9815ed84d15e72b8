"""Layer 2: decisions. All pure: what they know comes in as arguments, what they want comes out."""
