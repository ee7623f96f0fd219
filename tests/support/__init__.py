"""Helpers of the suite: servers, traffic checks, leak scan, copies of the checkout."""
