"""Measurements that need an NVIDIA GPU, and what they need."""
