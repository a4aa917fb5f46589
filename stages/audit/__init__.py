"""The blind audit: what texts alone give away of which option is true. Pure; knows no files, no images, no engines."""
