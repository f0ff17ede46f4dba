"""The two protocols: HTTP/1 under REST, HTTP/2 under gRPC."""
