"""Token checks over gRPC: `chancery.v1.TokenService`, and the question that Envoy asks."""
