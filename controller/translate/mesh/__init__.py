"""Istio's policy kinds: whom they hold for, and what they become."""
