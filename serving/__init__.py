"""The BentoML services: uploads in, verdicts out, over HTTP."""
