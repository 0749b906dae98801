"""The model in a browser: a static site, and the JavaScript that other sites can take from it."""
