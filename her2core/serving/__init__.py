"""Predictions over HTTP (extra ``serve``): application, bodies of requests, metrics, OpenAPI description."""
