"""The sample browser's images: which are shown, what each run says of them, and their pictures."""
