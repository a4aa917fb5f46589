"""`fgdata report`: one static folder that shows what a run made and where images were lost."""
