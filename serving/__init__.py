"""Serve the model: BentoML services, the web page, and the command line. Needs neither torch nor librosa."""
