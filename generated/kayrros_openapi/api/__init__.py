# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""Contains methods for accessing the API"""
