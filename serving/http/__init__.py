"""HTTP: addresses, uploads, errors as JSON, the description, the request log and the page."""
