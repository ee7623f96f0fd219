# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""Contains endpoint functions for accessing the API"""
