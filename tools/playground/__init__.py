"""Screenshots of the playground, taken in a headless Chromium of a server with real models."""
