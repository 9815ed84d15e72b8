"""Layer 1: conf/pairs.yaml as frozen, checked models; the key; where run-time files lie."""
